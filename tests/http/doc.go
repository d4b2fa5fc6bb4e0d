// Package http tests the daemon's interface over a real socket: what it takes, what it refuses and
// how, what it asks of the store, retries, and the file formats of others.
package http
