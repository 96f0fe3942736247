// Package spec reads a fleet's HCL: it finds and loads the files, holds every
// block and argument against one schema table (grammar.go), evaluates the
// expressions, checks the meaning, and fills in all defaults. The result is a
// Fleet, or diagnostics with code, range and hint, all of one run at once. It
// also keeps nixmesh.lock and formats files. It is the only importer of
// hashicorp/hcl, does no network and starts no program; the operator half may
// import it, the host half never.
package spec
