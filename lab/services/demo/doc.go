// Package demo is what the lab's demo services have in common: an HTTP server
// with a health check that ends gracefully, and the faults that a test or a
// demo asks for by environment. Only the programs beside it import it.
package demo
