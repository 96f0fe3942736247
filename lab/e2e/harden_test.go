package e2e

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestStrictScore: harden = "strict" scores at most 2.0, by systemd's own count.
func TestStrictScore(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "h1")
	f.service("web", "  harden = \"strict\"\n  jit = false")
	f.deploy().want(t, 0)
	out := f.ssh("h1", "systemd-analyze security --no-pager web.service | tail -1").want(t, 0).stdout
	m := regexp.MustCompile(`web\.service: ([0-9.]+)`).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("no score in %q", out)
	}
	score, err := strconv.ParseFloat(m[1], 64)
	if err != nil || score > 2 {
		t.Errorf("the score is %s; at most 2.0 was promised", m[1])
	}
	t.Logf("systemd-analyze security: %s", strings.TrimSpace(out))
	f.ssh("h1", "setpriv --reuid=nm-web --clear-groups curl -sf http://127.0.0.1:20000/").want(t, 0)
}

// TestDefaultRunsCompilers: programs that make code at run time work in the
// default sandbox: Node and a JVM, the machine's own, put on the host's disk.
func TestDefaultRunsCompilers(t *testing.T) {
	t.Parallel()
	node, java := runtimes(t)
	f := newFleet(t, "h1")
	root := f.host("h1").Root
	copyTree(t, node, root+"/opt/node")
	copyTree(t, java, root+"/opt/jvm")
	writeFile(t, root+"/opt/app.js", `
const http = require("http");
let sum = 0;
for (let i = 0; i < 1e7; i++) sum = (sum * 31 + i) % 1000003; // hot enough to be compiled
http.createServer((q, a) => a.end("node " + sum + "\n")).listen(Number(process.env.PORT), "127.0.0.1");
`)
	writeFile(t, root+"/opt/App.java", `
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
public class App {
  public static void main(String[] args) throws Exception {
    long s = 0;
    for (int i = 0; i < 100_000_000; i++) s = (s * 31 + i) % 1000003;
    byte[] text = ("java " + s + "\n").getBytes();
    HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(System.getenv("PORT"))), 0);
    server.createContext("/", q -> { q.sendResponseHeaders(200, text.length); q.getResponseBody().write(text); q.close(); });
    server.start();
  }
}
`)
	for name, exec := range map[string]string{"node": "/opt/node/node /opt/app.js", "java": "/opt/jvm/bin/java -Xmx128m /opt/App.java"} {
		f.set("service "+name, `service "`+name+`" {
  on      = ["*"]
  package = "web"
  exec    = "`+exec+`"
  harden  = "default"
  env     = { LD_LIBRARY_PATH = "/opt/node/lib" }
  listen "http" {}
  check {
    http  = "/"
    after = "1s"
  }
}`)
	}
	f.deploy().want(t, 0)
	for port, i := range f.instances("h1") {
		if i.unit != "web.service" {
			want := strings.TrimSuffix(i.unit, ".service") + " "
			f.ssh("h1", "setpriv --reuid=nixmesh-envoy --clear-groups curl -sf http://127.0.0.1:"+strconv.Itoa(port)+"/").want(t, 0).says(t, want)
			f.ssh("h1", "systemctl show -P NoNewPrivileges,ProtectSystem "+i.unit).want(t, 0)
		}
	}
	until(t, "both are up", func() bool {
		return f.ssh("h1", "systemctl is-active node.service java.service").code == 0
	})
}
