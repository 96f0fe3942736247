// Package trust makes and checks the signatures that a fleet's authority rests
// on: SSHSIG signatures of operators over records, Nix signatures over store
// paths, and the SSH keys behind both. It signs with what it is given and
// knows neither agent nor network (package remote finds the keys); the host
// half uses its verification through a function that cmd hands over.
package trust
