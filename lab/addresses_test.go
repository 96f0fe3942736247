package lab

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

func hostsAt(addresses ...string) []Host {
	var hosts []Host
	for i, a := range addresses {
		hosts = append(hosts, Host{Name: fmt.Sprintf("h%d", i), Address: netip.MustParseAddr(a)})
	}
	return hosts
}

func TestPlanAddresses(t *testing.T) {
	p, err := planAddresses(hostsAt("10.0.0.254", "10.0.1.3", "10.0.0.253", "10.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(p.networks, p.machine), "[10.0.0.0/24 10.0.1.0/24] 10.0.0.252"; got != want {
		t.Errorf("plan %s, want %s", got, want)
	}
	for want, hosts := range map[string][]Host{
		"the fleet has no host":           nil,
		"h0 and h1 have the same address": hostsAt("10.0.0.1", "10.0.0.1"),
		"IPv4 addresses":                  hostsAt("fd00::1"),
	} {
		if _, err := planAddresses(hosts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one that says %q", err, want)
		}
	}
}

func TestRules(t *testing.T) {
	s := &supervisor{cuts: []cut{{A: []string{"h0"}, B: []string{"h1", "h2"}}}}
	for _, h := range hostsAt("10.0.0.1", "10.0.0.2", "10.0.0.3") {
		s.hosts = append(s.hosts, &host{Host: h})
	}
	s.hosts[1].faults = Fault{CutSSH: true, Loss: 20}
	const want = `table bridge lab
delete table bridge lab
table bridge lab {
	chain forward {
		type filter hook forward priority 0;
		ip daddr 10.0.0.2 tcp dport 22 drop
		ip saddr 10.0.0.2 tcp sport 22 drop
		ip daddr 10.0.0.2 numgen random mod 100 < 20 drop
		ip saddr 10.0.0.2 numgen random mod 100 < 20 drop
		ip saddr { 10.0.0.1 } ip daddr { 10.0.0.2, 10.0.0.3 } drop
		ip saddr { 10.0.0.2, 10.0.0.3 } ip daddr { 10.0.0.1 } drop
	}
}
`
	if got := s.rules(); got != want {
		t.Errorf("rules:\n%s\nwant:\n%s", got, want)
	}
}

func TestIsSwitch(t *testing.T) {
	const path = "/nix/store/x-nixos/bin/switch-to-configuration"
	for line, want := range map[string]bool{
		path + " switch":            true,
		path + " test":              true,
		path + " boot":              false,
		path + " check":             false,
		path + " dry-activate":      false,
		path:                        false,
		"/bin/sh " + path + " test": true,
		"/usr/bin/perl -w " + path + ".pl switch":                true,
		"/nix/store/y/bin/.switch-to-configuration-wrapped test": true,
		"systemd-run --wait " + path + " test":                   false,
		"nixmesh-host activate " + path + " test":                false,
		"cat " + path + " test":                                  false,
	} {
		if got := switches(strings.Fields(line)); got != want {
			t.Errorf("%s: %v, want %v", line, got, want)
		}
	}
}
