// Package mesh is the seam between the two halves: the mesh configuration, the
// one document in which an operator tells every agent what the fleet's services
// are, where they run, who may call whom, and how calls behave. Package compile
// makes it from the spec, agents act on it, and both import this package, which
// uses the standard library only and never sees HCL.
//
// # One fact, one place
//
// A host's own closure holds what a host needs before, or without, its agent,
// and what a host that reverts has to take back with it: instances with units,
// uids and ports, the addresses and ports of mesh names, checks, egress (see
// package hostfacts). The configuration holds what all hosts have to agree on.
// Nothing is in both, so the two can change at different times.
//
// # Canonical bytes
//
// Canonical is JSON as RFC 8785 has it: members sorted, no space, numbers in
// their shortest form, UTF-8. One configuration has one text and so one Hash,
// which is what gets signed, compared and announced. Parse takes only such text:
// a member given twice, or a number written in two ways, cannot mean one thing
// to the signer and another to an agent. Version, parent and signature are not
// in here: they belong to the envelope around these bytes, so that signing old
// contents anew keeps their hash.
//
// Places in the HCL are left out, too. A line that moves is no new
// configuration, and a hash that a comment changes would tell nobody anything;
// who explains a route to a person has the spec beside it.
//
// # Readers and writers of different age
//
// Members that a reader does not know are kept and written again as they came,
// so an older nixmesh can sign on what a newer one wrote. Such members may only
// add. What narrows a permission or changes a meaning raises the number in
// Schema instead, and an older reader refuses the document and keeps the last.
//
// What is absent was not given: that is how a route's timeout is told from the
// caller's. Everything that Envoy would else choose by itself is written out,
// the fleet-wide defaults included (Config.Defaults), so that a document means
// the same to agents of different releases.
//
// # Documents
//
// A Document is a configuration with a version, the hash of the version before
// and an operator's signature. Which of two documents is in force is an order
// over the two alone (Link.Compare), so agents need no leader and no history to
// come to the same one: whoever has seen the same documents holds the same one.
// Who may sign is not the document's to say: Signers come from the host's own
// generation, and from its memory of the keys that were removed.
//
// A deploy that takes a while puts a Union of the live and the next
// configuration in force before its first host, and the next one after its last.
package mesh
