// Package directory reads folders of rate limits in the format of
// envoyproxy/ratelimit, as that project's users have them, and finds the rule
// for a descriptor. It counts nothing, speaks no gRPC and keeps no metrics; it
// starts no goroutine, so whoever wants changes calls Load again.
//
// A Load that finds nothing new costs a stat for each file. One that does parses
// each file that changed twice: strictly, to tell every fault with its line, and
// by envoyproxy/ratelimit itself, as a second opinion; ten thousand rules take
// about a second of CPU. Match hashes each key and value of a descriptor and does
// not allocate; what it costs does not depend on how many rules there are, save
// that wildcards of one key which begin alike are tried one by one.
//
// # Files
//
// All files *.yaml and *.yml count, in sub-folders too, in the order of their
// paths. Names that begin with a dot do not, neither files nor folders. Links to
// files are followed, links to folders are not, unless the folder is the one
// that was configured: so a mounted ConfigMap works, where each file is a link
// into ..data, and so does a release that is put in place by swapping a link.
// Put files in place by renaming: one that is half written may be well-formed.
//
// One file describes one domain. A file with a fault is kept out by itself, see
// Load.
//
// # Differences on purpose
//
// What loads there and is no danger loads here and means the same; what is odd
// and does no harm is a notice, see Loaded. The reference is the version in
// go.mod; "later" is what that project does since. First the files:
//
//	                             envoyproxy/ratelimit       here
//	key and value                one text, key_value:       two texts
//	                             (a_x, "") finds a: x, and
//	                             a_b: c is a: b_c twice
//	* in a value                 wildcard at the end;       wildcard anywhere
//	                             later: anywhere
//	share_threshold              * at the end; later: any   any wildcard
//	metadata                     refused; later: sent, but  sent
//	                             not with detailed_metric
//	                             or value_to_metric
//	* at the end of a key        wildcard over key_value    fault
//	requests_per_unit missing    0                          fault
//	rate_limit: without a value  not limited                fault
//	field in the wrong place     ignored                    fault
//	field written twice          the last one               fault
//	<< that meets a field        the later one, mixed       fault, unless << is first
//	                                                        and nothing mixes
//	tags such as !!int, !mine    some accepted              fault, save !!str, !!map, !!seq
//	second YAML document         ignored                    fault
//	larger than 2 MiB, 500,000   accepted                   fault
//	values or 100 levels
//	domain in two files          all is refused, or merged  fault, and it stays as it was
//	                             (MERGE_DOMAIN_CONFIG)
//	a bad file                   all is refused             its domain stays as it was
//	file names                   any, hidden ones too       *.yaml, *.yml, not hidden
//	unlimited with unknown unit  accepted                   accepted, with a notice
//	replaces an unknown name     accepted                   accepted, with a notice
//	rule never reached           accepted                   accepted, with a notice
//	* elsewhere in a key         stands for itself          the same, with a notice
//
// Then the answers, which package ratelimit gives over the rules:
//
//	                             envoyproxy/ratelimit       here
//	counter's name               domain_key_value_, joined  parts after their lengths
//	windows of two lengths, of   one counter, where they    a counter each
//	one descriptor               begin at the same second
//	a clock that steps back      the older window again     the newer one goes on
//	no domain, no descriptors    error of no code           InvalidArgument
//	more than 100 descriptors,   counted                    InvalidArgument
//	or entries in one
//	hits above 2^53              counted; from 2^63 on an   InvalidArgument
//	                             error, or given back
//	is_negative_hits             counted as hits; later:    given back, none below zero
//	                             given back, none below 0
//	unit_multiplier              ignored                    so many units
//	override of no known unit    the process ends           InvalidArgument
//	quota_mode, used up          no time of the reset       with it
//	dynamic metadata             RESPONSE_DYNAMIC_METADATA: the metadata of the rules
//	                             the request; later: of     that matched
//	                             the rules too
//	counters do not answer       error of no code           Unavailable, or refused
//	SHADOW_MODE and other modes  by environment             none: what the files say
//	for all
package directory
