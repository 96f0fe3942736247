// Package trust makes and checks the signatures that a fleet's authority rests
// on: SSHSIG signatures of operators over records, Nix signatures over store
// paths, and the SSH keys behind both; the certificates of the mesh, from the
// root that operators keep over the intermediates of authorities to the leaves
// of services; and the node keys by which agents speak, with the certificates
// that tie them to the hosts' SSH keys. It seals and opens the age files that
// hold secrets. It works with the keys it is given and knows neither agent nor
// network (package remote finds the keys); a host's switch uses its
// verification through a function that cmd hands over.
package trust
