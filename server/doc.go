// Package server speaks HTTP for a database: it turns requests into calls of the engine, and what
// the engine gives back into answers. It holds no records and decides nothing about them.
//
// # Routes
//
//	POST   /v1/ingest              records in: application/json, application/x-ndjson, application/avro
//	GET    /v1/read                records out: format=json, ndjson or ocf
//	GET    /v1/explain             how that read would be answered
//	POST   /v1/archive             make hot records cold now, and wait for it
//	GET    /v1/tables              every table
//	GET    /v1/tables/{t}          one table; PUT changes its settings
//	GET    /v1/tables/{t}/schema   its Avro schema and the versions before it
//	GET    /v1/datasets?table=     the datasets of a table
//	GET    /v1/files               live block files; /v1/files/{path} serves one, in ranges
//	GET    /v1/stats/hot-cold      records by tier, for every table and dataset
//	GET    /v1/stats/archive       compression, for every block file
//	GET    /v1/stats/stale         hot records that wait longer than they should
//	GET    /healthz, /readyz       whether the process answers; whether it accepts records
//
// HEAD is answered wherever GET is. Every refusal is an application/problem+json object
// (RFC 9457) with a member "code" from the one list in problem.go.
//
// # How a request travels
//
// The guard (guard.go) refuses requests that a browser was tricked into. The route is found by
// the raw segments of the path (route.go), parameters are read strictly (params.go): what is
// unknown, given twice or malformed is refused rather than ignored. A handler calls the engine
// and returns an error or sets the answer; problem.go turns every error into an answer, in one
// place. Whatever a handler panics with is logged and answered with 500.
//
// A body is read only when a handler wants it. Its Content-Encoding is undone as it comes, under
// one limit for the result (body.go), and all bodies that are held at a time share a second limit
// (room.go): a request waits for its share, and is told to come again when it waits too long. The
// body is then cut into records without copying them (envelope.go, intake.go; an Avro body becomes
// JSON first, avro.go). The engine checks each record; a request is kept whole or not at all.
//
// An answer that may be long is a stream (stream.go): its first 64 KiB are made before the
// status line goes out, so an early failure is a proper problem answer; the rest is made while it
// is sent, so memory stays bounded and a slow client slows its own read. A failure after the
// status line breaks the connection: an answer never ends as if whole when it is not.
//
// # Concurrency
//
// A Server is safe for concurrent use. Every request runs on the goroutine of its connection;
// nothing it starts outlives it. Shutdown waits for requests under way, then breaks what is left.
package server
