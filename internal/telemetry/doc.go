// Package telemetry shows what was decided, as metrics. Labels are bounded: an
// API's name and a reason, never a key, a tenant or a path. Recording costs two
// atomic additions.
package telemetry
