// The type in which values stored as T are summed and computed.
#pragma once

namespace hadal::ops::cpu {

template <class T>
struct StatisticOf {
    using Type = float;
};
template <>
struct StatisticOf<double> {
    using Type = double;
};

/// float for bf16 and float, double for double.
template <class T>
using Statistic = typename StatisticOf<T>::Type;

}  // namespace hadal::ops::cpu
