// Package jsonsuite holds blockfile/jsonscan against other judges of JSON: the files of
// JSONTestSuite, and encoding/json's strict successor jsontext, which shares no code
// with it. It contains tests only, and lives in the module of tests so that firn's own
// module does not list what only they need.
//
// Files are looked for in $FIRN_TEST_DATA, or in shared/data beside any folder above
// this one; tests that need them are skipped without.
package jsonsuite
