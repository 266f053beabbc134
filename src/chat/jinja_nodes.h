// The syntax tree of a template. Each node evaluates or runs itself; a tree is never changed after
// it was parsed, so one template serves many threads.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "chat/jinja_value.h"

namespace hadal::chat::jinja {

/// Variables of a block; what is not found here is looked for outside.
struct Scope {
    std::map<std::string, Value, std::less<>> variables;
    Scope* outside = nullptr;

    /// nullptr if there is none.
    const Value* find(std::string_view name) const;
};

/// A template being rendered. It ends with an Error(bad_input) after some million steps: a template
/// is data from strangers too.
class Rendering {
  public:
    explicit Rendering(Scope& globals) : scope(&globals) {}
    /// Counts steps of the tree; `line` is for the message.
    void step(int line, int64_t count = 1);

    Scope* scope;
    Text output;
    int depth = 0;  // of macros that call macros

  private:
    int64_t steps_ = 0;
};

/// For as long as it lives, variables go to a scope of their own.
class InnerScope {
  public:
    explicit InnerScope(Rendering& rendering)
        : rendering_(rendering), scope_{.variables = {}, .outside = rendering.scope} {
        rendering_.scope = &scope_;
    }
    ~InnerScope() {
        rendering_.scope = scope_.outside;
    }
    InnerScope(const InnerScope&) = delete;
    InnerScope& operator=(const InnerScope&) = delete;

  private:
    Rendering& rendering_;
    Scope scope_;
};

struct Expression {
    explicit Expression(int at) : line(at) {}
    virtual ~Expression() = default;
    /// Counts the step; an error that has no line yet gets this one.
    Value evaluate(Rendering& rendering) const;

    const int line;

  protected:
    virtual Value value(Rendering& rendering) const = 0;
};
using ExpressionPtr = std::unique_ptr<const Expression>;

enum class Flow { next, leave_loop, next_turn };

struct Statement {
    explicit Statement(int at) : line(at) {}
    virtual ~Statement() = default;
    virtual Flow run(Rendering& rendering) const = 0;

    const int line;
};
using StatementPtr = std::unique_ptr<const Statement>;
using Block = std::vector<StatementPtr>;
Flow run_block(const Block& block, Rendering& rendering);

// ---- expressions

struct Literal : Expression {
    Literal(int at, Value held) : Expression(at), held(std::move(held)) {}
    Value value(Rendering&) const override {
        return held;
    }
    Value held;
};

struct Variable : Expression {
    Variable(int at, std::string name) : Expression(at), name(std::move(name)) {}
    Value value(Rendering& rendering) const override;
    std::string name;
};

/// [a, b] and (a, b).
struct ListLiteral : Expression {
    using Expression::Expression;
    Value value(Rendering& rendering) const override;
    std::vector<ExpressionPtr> items;
};

struct DictLiteral : Expression {
    using Expression::Expression;
    Value value(Rendering& rendering) const override;
    std::vector<std::pair<ExpressionPtr, ExpressionPtr>> items;
};

/// -a, +a, not a.
struct Unary : Expression {
    Unary(int at, std::string symbol, ExpressionPtr operand)
        : Expression(at), symbol(std::move(symbol)), operand(std::move(operand)) {}
    Value value(Rendering& rendering) const override;
    std::string symbol;
    ExpressionPtr operand;
};

/// Arithmetic, ~, and, or, in, comparisons of two.
struct Binary : Expression {
    Binary(int at, std::string symbol, ExpressionPtr left, ExpressionPtr right)
        : Expression(at),
          symbol(std::move(symbol)),
          left(std::move(left)),
          right(std::move(right)) {}
    Value value(Rendering& rendering) const override;
    std::string symbol;
    ExpressionPtr left, right;
};

/// a if condition else b.
struct Conditional : Expression {
    using Expression::Expression;
    Value value(Rendering& rendering) const override;
    ExpressionPtr condition, yes, no;  // no may be absent
};

/// a.name and a[index].
struct Member : Expression {
    Member(int at, ExpressionPtr object, ExpressionPtr index)
        : Expression(at), object(std::move(object)), index(std::move(index)) {}
    Value value(Rendering& rendering) const override;
    ExpressionPtr object, index;
};

/// a[begin:end:step], each of which may be absent.
struct Slice : Expression {
    using Expression::Expression;
    Value value(Rendering& rendering) const override;
    ExpressionPtr object, begin, end, step;
};

struct CallArguments {
    std::vector<ExpressionPtr> values;
    std::vector<std::pair<std::string, ExpressionPtr>> named;
    Arguments evaluate(Rendering& rendering) const;
};

struct Call : Expression {
    using Expression::Expression;
    Value value(Rendering& rendering) const override;
    ExpressionPtr function;
    CallArguments arguments;
};

/// a | name(arguments).
struct Filter : Expression {
    using Expression::Expression;
    Value value(Rendering& rendering) const override;
    ExpressionPtr operand;
    std::string name;
    CallArguments arguments;
};

/// a is name(arguments), or is not.
struct Test : Expression {
    using Expression::Expression;
    Value value(Rendering& rendering) const override;
    ExpressionPtr operand;
    std::string name;
    CallArguments arguments;
    bool negated = false;
};

// ---- statements

struct PlainText : Statement {
    PlainText(int at, std::string text) : Statement(at), text(std::move(text)) {}
    Flow run(Rendering& rendering) const override;
    Text text;
};

struct Print : Statement {
    Print(int at, ExpressionPtr expression) : Statement(at), expression(std::move(expression)) {}
    Flow run(Rendering& rendering) const override;
    ExpressionPtr expression;
};

struct If : Statement {
    using Statement::Statement;
    Flow run(Rendering& rendering) const override;
    std::vector<std::pair<ExpressionPtr, Block>> branches;
    Block otherwise;
};

struct For : Statement {
    using Statement::Statement;
    Flow run(Rendering& rendering) const override;
    std::vector<std::string> names;
    ExpressionPtr list;
    ExpressionPtr condition;  // absent: all
    Block body, otherwise;

  private:
    List chosen(Rendering& rendering) const;
    void bind(Rendering& rendering, const Value& item) const;
};

/// {% set a, b = … %}, {% set space.name = … %}, {% set a %}…{% endset %}.
struct Set : Statement {
    using Statement::Statement;
    Flow run(Rendering& rendering) const override;
    std::vector<std::string> names;
    std::string attribute;     // of a namespace called names[0]; empty: a variable
    ExpressionPtr expression;  // absent: the block's text
    Block block;
};

struct Macro : Statement {
    using Statement::Statement;
    Flow run(Rendering& rendering) const override;
    std::string name;
    std::vector<std::pair<std::string, ExpressionPtr>> parameters;  // with defaults, or null
    std::shared_ptr<const Block> body;

  private:
    Value call(Rendering& rendering, Scope& defined_in, const Arguments& arguments) const;
};

/// {% generation %}: marks what a model has written; nothing for rendering.
struct Group : Statement {
    using Statement::Statement;
    Flow run(Rendering& rendering) const override {
        return run_block(block, rendering);
    }
    Block block;
};

/// {% break %} and {% continue %}.
struct Jump : Statement {
    Jump(int at, Flow flow) : Statement(at), flow(flow) {}
    Flow run(Rendering&) const override {
        return flow;
    }
    Flow flow;
};

}  // namespace hadal::chat::jinja
