// Package interop opens what firn writes with readers that firn did not write: the Avro C tools, the
// Python library of the Avro project, goavro and twmb/avro. It contains tests only.
//
// A reader is told nothing but the path of a file. What it gives, columns and values, is made JSON
// again by columns_test.go, which knows the schema's properties from docs/formats.md alone and uses
// none of firn's code, and is then compared with the records that were sent. So the tests hold both
// the files and their description.
//
// Files are all that a store keeps, and answers with format=ocf: spliced from several files, with
// hot records between, over schemas of several versions, cut by from and to. The table of readers
// and codecs that the tests print stands in docs/formats.md; a cell that changes, for better or
// worse, fails.
//
// A tool that is not installed skips its part, and fails it where CI is set in the environment.
// On Debian: apt-get install avro-bin python3-avro python3-snappy python3-zstandard.
package interop
