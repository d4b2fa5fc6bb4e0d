// Package storetest is the conformance suite of blockfile/store: one set of
// tests that states the contract of the interface Store, for every
// implementation to run.
//
//	func TestConformance(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) store.Store { return … })
//	}
package storetest
