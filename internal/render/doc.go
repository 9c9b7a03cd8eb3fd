// Package render is answers in an API's own shape: JSON and text templates
// with ${…} placeholders, and the refusals and quota headers made from them.
//
//	{"error": {"code": "${code}", "retry_after": "${retry_after:int}"}}
//
// A placeholder stands in a JSON string. As plain ${name} it is text, escaped
// for JSON, alone or between other text. Three forms change the value's type
// and stand alone in their string: ${retry_after:int} becomes a bare number,
// ${scopes:list} an array of strings, and ${expires_at:null} (any name) a
// string, or null where it would be empty or is a time or number of zero. Times
// are RFC 3339 in UTC. "$${" stands for "${" itself. Keys hold no placeholders.
//
// Whatever the values are, what is rendered from a JSON template is JSON of the
// template's own structure: a value cannot leave its string. Text that is not
// UTF-8 has each bad byte replaced by U+FFFD.
//
// It is not a template language: no conditions, no loops, no functions. It
// does no I/O and knows neither YAML nor Envoy.
//
// Costs: a template is compiled once to static text and fields; Append copies
// them and allocates nothing where dst has room.
package render
