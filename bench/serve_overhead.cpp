// What HTTP costs: the same texts from the bare engine and through the server, over the loopback
// device, as streams. Rounds of the two take turns.
//     bench_serve_overhead CONFIG [threads [streams [tokens [rounds]]]]
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <thread>
#include <vector>

#include "core/error.h"
#include "core/file_map.h"
#include "http/server.h"
#include "infer/text_prompt.h"
#include "model/rotary_scaling.h"
#include "serve/gate.h"
#include "text/bpe_train.h"

namespace hadal::bench {

namespace {

using Clock = std::chrono::steady_clock;

struct Load {
    int streams = 32;
    int64_t tokens = 128;
};

double seconds_since(Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// Of all threads: other programs on the machine are not in it.
double processor_seconds() {
    timespec time{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return double(time.tv_sec) + 1e-9 * double(time.tv_nsec);
}

std::string prompt_of(int stream) {
    return "Once upon a time there was user number " + std::to_string(stream);
}

/// A new connection's whole answer. The clients are part of the process, and of what is measured.
size_t stream_over_http(uint16_t port, int stream, int64_t tokens) {
    const std::string body =
        concat("{\"prompt\":\"", prompt_of(stream), "\",\"max_tokens\":", tokens,
               ",\"temperature\":0,\"ignore_eos\":true,\"stream\":true}");
    const std::string request =
        concat("POST /v1/completions HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n",
               "Content-Length: ", body.size(), "\r\n\r\n", body);
    const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
        throw Error(Error::Kind::io, "the server does not answer");
    }
    ::send(socket, request.data(), request.size(), MSG_NOSIGNAL);
    std::string answer;
    std::vector<char> buffer(1 << 16);
    for (ssize_t got = 0; (got = ::recv(socket, buffer.data(), buffer.size(), 0)) > 0;) {
        answer.append(buffer.data(), size_t(got));
    }
    ::close(socket);
    if (answer.find("[DONE]") == std::string::npos) {
        throw Error(Error::Kind::io, concat("not a whole stream: ", answer.substr(0, 400)));
    }
    return answer.size();
}

/// The engine requests that the API makes of the same texts.
void run_bare(serve::EngineLoop& loop, const text::Tokenizer& tokenizer, const Load& load) {
    for (int stream = 0; stream < load.streams; ++stream) {
        infer::Request request;
        request.prompt = infer::prompt_ids(tokenizer, prompt_of(stream));
        request.num_ids = tokenizer.vocab_size();  // of the model's many, only these are chosen
        request.max_new_tokens = load.tokens;
        request.sampling.temperature = 0;
        request.on_token = [](const infer::GeneratedToken&) { return true; };
        loop.submit(std::move(request));
    }
    if (!loop.wait_until_idle(std::chrono::minutes(10))) std::abort();
}

void run_http(uint16_t port, const Load& load) {
    std::vector<std::thread> clients;
    for (int stream = 0; stream < load.streams; ++stream) {
        clients.emplace_back([=] { stream_over_http(port, stream, load.tokens); });
    }
    for (std::thread& client : clients) client.join();
}

struct Times {
    std::vector<double> wall, processor;

    template <class Work>
    void add(const Work& work) {
        const double before = processor_seconds();
        const auto begin = Clock::now();
        work();
        wall.push_back(seconds_since(begin));
        processor.push_back(processor_seconds() - before);
    }
};

double median(std::vector<double> values) {
    std::ranges::sort(values);
    return values[values.size() / 2];
}

void measure(const std::vector<std::string>& arguments) {
    const auto number = [&](size_t i, int fallback) {
        return i < arguments.size() ? std::atoi(arguments[i].c_str()) : fallback;
    };
    ThreadPool threads(number(1, 4));
    Workspace workspace;
    Context context{threads, workspace, best_isa()};
    const std::vector<std::string_view> text = {
        "Once upon a time there was a user number 1234567890"};
    const text::Tokenizer tokenizer = text::train_bpe(threads, text, {.vocab_size = 300});
    const model::ModelConfig config =
        model::parse_config(read_file(arguments.at(0)), arguments.at(0));
    const model::Model model{config, model::init_weights(context, config, DType::bf16, 1),
                             model::rotary_table(config, 2048, DType::f32)};
    const Load load{.streams = number(2, 32), .tokens = number(3, 128)};
    const infer::EngineOptions engine{.cache_bytes = int64_t(1) << 29, .share_prefixes = false};
    Times bare, http;
    for (int round = 0; round < number(4, 5) + 1; ++round) {
        {
            serve::EngineLoop loop(context, model, engine);
            const auto work = [&] { run_bare(loop, tokenizer, load); };
            round == 0 ? work() : bare.add(work);  // the first one warms up
        }
        serve::Metrics metrics("bench");
        serve::Service service(context, model, tokenizer,
                               {.model_name = "bench", .engine = engine, .metrics = &metrics});
        serve::Gate gate(service, metrics, {});
        http::Server server({}, [&](auto exchange) { gate.handle(std::move(exchange)); });
        const auto work = [&] { run_http(server.port(), load); };
        round == 0 ? work() : http.add(work);
    }
    const double tokens = double(load.streams) * double(load.tokens);
    const double bare_wall = median(bare.wall), http_wall = median(http.wall);
    const double bare_processor = median(bare.processor), http_processor = median(http.processor);
    std::printf("%d streams of %ld tokens, medians of %zu rounds\n", load.streams,
                long(load.tokens), bare.wall.size());
    std::printf("engine  %8.0f tokens/s  %7.3f ms of processor a token\n", tokens / bare_wall,
                1e3 * bare_processor / tokens);
    std::printf("HTTP    %8.0f tokens/s  %7.3f ms of processor a token\n", tokens / http_wall,
                1e3 * http_processor / tokens);
    std::printf("share   %8.1f %%          %7.1f %%\n", 100 * bare_wall / http_wall,
                100 * bare_processor / http_processor);
}

}  // namespace

}  // namespace hadal::bench

int main(int count, char** arguments) {
    if (count < 2) {
        std::fprintf(stderr,
                     "usage: bench_serve_overhead CONFIG [threads [streams [tokens [rounds]]]]\n");
        return 2;
    }
    try {
        hadal::bench::measure({arguments + 1, arguments + count});
    } catch (const std::exception& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return 1;
    }
}
