// Package unseal is the host's half of secrets: it opens the age files that a
// toplevel holds with the host's SSH key and puts their texts where units take
// their credentials from, a tmpfs that only root reads. What it says on the
// way never holds a secret. It is called by a unit, at boot and at each switch
// that changes the set, and by nothing else.
package unseal
