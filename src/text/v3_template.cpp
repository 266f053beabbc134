#include "text/v3_template.h"

namespace hadal::text {

// tests/chat/templates/v3.jinja is the same, for Python's Jinja2.
std::string_view v3_template() {
    return R"jinja({%- if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif -%}
{%- set ns = namespace(system='', first=true, after_tool=false) -%}
{%- for message in messages if message['role'] == 'system' -%}
  {%- if ns.first -%}
    {%- set ns.system = ns.system + message['content'] -%}
    {%- set ns.first = false -%}
  {%- else -%}
    {%- set ns.system = ns.system + '\n\n' + message['content'] -%}
  {%- endif -%}
{%- endfor -%}
{{ bos_token }}{{ ns.system }}
{%- for message in messages -%}
  {%- if message['role'] == 'user' -%}
    {%- set ns.after_tool = false -%}
    {{ '<｜User｜>' + message['content'] }}
  {%- elif message['role'] == 'assistant' and message.get('tool_calls') -%}
    {{ '<｜Assistant｜>' if not ns.after_tool }}{{ message['content'] if message['content'] is not none }}<｜tool▁calls▁begin｜>
    {%- for tool in message['tool_calls'] -%}
      {{- '\n' if not loop.first -}}
      <｜tool▁call▁begin｜>{{ tool['type'] }}<｜tool▁sep｜>{{ tool['function']['name'] + '\n```json\n' + tool['function']['arguments'] + '\n```' }}<｜tool▁call▁end｜>
    {%- endfor -%}
    <｜tool▁calls▁end｜><｜end▁of▁sentence｜>
  {%- elif message['role'] == 'assistant' -%}
    {{ message['content'] + '<｜end▁of▁sentence｜>' if ns.after_tool else '<｜Assistant｜>' + message['content'] + '<｜end▁of▁sentence｜>' }}
    {%- set ns.after_tool = false -%}
  {%- elif message['role'] == 'tool' -%}
    {{ '\n' if ns.after_tool else '<｜tool▁outputs▁begin｜>' }}<｜tool▁output▁begin｜>{{ message['content'] }}<｜tool▁output▁end｜>
    {%- set ns.after_tool = true -%}
  {%- elif message['role'] != 'system' -%}
    {{ raise_exception('the role ' + message['role'] + ' is none of system, user, assistant, tool') }}
  {%- endif -%}
{%- endfor -%}
{%- if ns.after_tool %}<｜tool▁outputs▁end｜>{% endif -%}
{%- if add_generation_prompt and not ns.after_tool %}{{ '<｜Assistant｜>' }}{% endif %})jinja";
}

}  // namespace hadal::text
