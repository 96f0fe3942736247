package lab

import (
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
)

// Two labs answer for one address, each with its own CA; a running lab takes up
// what its externals became.
func TestExternalsAreAnswered(t *testing.T) {
	labs := map[string]*testLab{}
	for _, name := range []string{"api.one.example", "api.two.example"} {
		l := newTestLab(t, "a")
		l.externals = []External{{Name: "pay", Protocol: "http", TLS: true, ServerName: name, Addresses: []netip.AddrPort{netip.MustParseAddrPort("10.99.0.250:443")}}}
		l.up()
		labs[name] = l
	}
	ask := func(l *testLab, name string, seconds int) (string, error) {
		t.Helper()
		root, err := os.ReadFile(l.CAPath())
		if err != nil {
			t.Fatal(err)
		}
		l.mustRun("a", "cat > /run/ca.pem <<'END'\n"+string(root)+"END")
		return l.run("a", "curl -sS --max-time "+strconv.Itoa(seconds)+" --cacert /run/ca.pem --resolve "+name+":443:10.99.0.250 https://"+name+"/v1/charges 2>&1")
	}
	for name, l := range labs {
		said, err := ask(l, name, 100)
		if err != nil || !strings.Contains(said, "the lab answers for pay\nGET /v1/charges") || !strings.Contains(said, "server name: "+name) {
			t.Errorf("%s: %v: %s", name, err, said)
		}
		if said, err := ask(l, "other.example", 100); err == nil {
			t.Errorf("a certificate for %s is good for other.example: %s", name, said)
		}
	}
	one := labs["api.one.example"]
	one.externals[0].ServerName = "other.example"
	one.up()
	if said, err := ask(one, "other.example", 100); err != nil {
		t.Errorf("after the change: %v: %s", err, said)
	}
	one.externals = nil
	one.up()
	if said, err := ask(one, "other.example", 5); err == nil {
		t.Errorf("the lab answers still: %s", said)
	}
}
