// Package e2e holds the gate to its word from outside: a real Envoy with the
// generated configuration, the built binary, HTTP and the command line, and
// nothing else. Each test says the acceptance lines that it proves.
//
// The requests of an example are in its own folder, examples/NAME/requests.http,
// and are run on both chains. A test that needs Envoy skips by name where there
// is none; SALLYPORT_TEST_REQUIRE=envoy makes that a failure.
//
// The pages are shown to a real browser. SALLYPORT_TEST_PICTURES=/some/folder keeps
// what they look like there, for people to judge.
package e2e
