// Package health runs the checks of host.json on their host, again and again,
// and says how each instance is: by its checks, and by whether its unit runs at
// all, which it sees by the unit's cgroup. It asks neither systemd nor D-Bus
// and needs no rights beyond those of its process: checks of a network go out
// from it, and a check that is a command is run by systemd when this package
// connects to the socket of its unit (docs/adr/0013). The agent imports it.
package health
