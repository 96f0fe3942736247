// Package guard keeps the kernel's table of who may connect where
// (modules/guard-table.nix). It loads the table of the running system, is told
// by the kernel when anybody changes or removes it, and loads it again: the
// time without it is what nft takes to read a file. What it did, and what the
// table refused, it writes where everybody on the host may read it.
//
// The kernel's messages are read here, byte by byte, and nothing else of
// netlink is known to the project; nft does the loading, in one transaction.
// The commands run it, and the agent reads its report.
package guard
