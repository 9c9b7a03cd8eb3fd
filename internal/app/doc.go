// Package app wires the rooms into a server. New binds every listener and opens
// everything that can fail, Run serves until its context ends and then drains,
// so that a test, the demo and the command line start the real thing in the
// same way. Signals and exit codes are the command line's.
package app
