// Package pattern is path templates, such as /v1/devices/{id}: parsing them,
// comparing them as sets of paths, matching a path against many, and telling
// which paths are judged at all.
//
//	/v1/devices          literal segments
//	/v1/devices/{id}     {name} is any one segment
//	/v1/files/{path...}  {name...}, last only, is one or more segments
//
// A gate and the upstream behind it must read one path in one way, or the
// gate judges another request than the one that is served. Two rules see to
// that. [Canonical] refuses every path with a part that one server keeps and
// another changes: dot segments, empty segments, parameters after ';', encoded
// slashes, double encoding. And [Tree.Match] refuses a path that would meet
// another template if it were decoded: next to /users/@me, the path
// /users/%40me is neither that nor a value of /users/{id}.
//
// It is not for methods, hosts or queries; a caller keeps a table of methods
// as the value of a template. It does not decode: parameters are told as they
// stand in the path.
//
// Costs: Match is one map look-up a segment, however many templates there
// are, and walks back only where a literal and a parameter share a place.
// Canonical is one pass. Neither allocates.
package pattern
