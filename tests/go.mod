module github.com/firndb/firn/tests

go 1.26.0

require github.com/firndb/firn v0.0.0

require (
	github.com/go-json-experiment/json v1.27.2 // indirect
	github.com/golang/snappy v0.0.1 // indirect
	github.com/linkedin/goavro/v2 v2.15.0 // indirect
	github.com/twmb/avro v1.9.0 // indirect
	pgregory.net/rapid v1.3.0 // indirect
)

replace github.com/firndb/firn => ../
