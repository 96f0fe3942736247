// Package api serves a host's agent on its Unix socket: what the agent knows,
// the changes as they come, and the few things that may be put to it. The types
// and the client are in package agentapi; this package imports it and the
// standard library, and only package controlplane imports this one.
//
// Who can open the socket may read: its folder's and its own mode are the lock.
// A PUT is for root and for members of the socket's group, by the credentials
// that the kernel has of the connecting process, and is logged with them. A
// document or an override is signed besides, and the agent checks that: the
// socket only says who brought it.
//
// Nothing that a client does costs another one more than its share: requests
// are bounded in size and time, connections and watches in number, and a watch
// that is not read loses events, which it is told, and holds up nobody.
package api
