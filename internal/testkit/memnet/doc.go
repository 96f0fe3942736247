// Package memnet is a network of hosts inside one process, for tests: packets
// and streams between addresses, with delay, loss, partitions and power cuts.
// Only tests import it, and it imports nothing of the project.
//
// A Host listens and dials like the machine does (net.PacketConn, net.Listener,
// net.Conn), so that what runs on it needs no second code path. Everything waits
// on channels and timers, so a network that is made inside a testing/synctest
// bubble lives in the bubble's time: ten minutes of 200 hosts are seconds.
//
// What differs from a real network: a stream loses nothing and costs its delay
// only, but a stream that a partition has once touched never moves again (TCP
// would try for minutes); each lost packet of a connection's opening costs a
// second, as Linux's first retransmission does.
package memnet
