package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// runtimes are folders with the machine's Node (node, lib/) and JVM (bin/java).
func runtimes(t *testing.T) (node, java string) {
	t.Helper()
	needLab(t)
	program, err := exec.LookPath("node")
	if err != nil {
		t.Skip("no node on this machine: apt-get install nodejs")
	}
	node = t.TempDir()
	if err := os.Mkdir(node+"/lib", 0o755); err != nil {
		t.Fatal(err)
	}
	copyFile(t, program, node+"/node")
	// Its libraries, but for those of libc, which every host has.
	out, err := exec.Command("ldd", program).Output()
	if err != nil {
		t.Fatalf("ldd %s: %v", program, err)
	}
	for _, m := range regexp.MustCompile(`(\S+) => (/\S+)`).FindAllStringSubmatch(string(out), -1) {
		if libc := regexp.MustCompile(`^(libc|libm|libdl|libpthread|librt|libresolv|ld-linux.*)\.so`); !libc.MatchString(m[1]) {
			copyFile(t, m[2], node+"/lib/"+m[1])
		}
	}
	program, err = exec.LookPath("java")
	if err != nil {
		t.Skip("no java on this machine: apt-get install default-jdk-headless")
	}
	program, err = filepath.EvalSymlinks(program)
	if err != nil {
		t.Fatal(err)
	}
	return node, filepath.Dir(filepath.Dir(program))
}

// copyTree copies a folder, following links: what it points to outside is not
// on the host.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if err := os.MkdirAll(to, 0o755); err != nil {
		t.Fatal(err)
	}
	// A dangling link (src.zip of a JDK) makes cp exit 1; what was copied counts.
	out, err := exec.Command("cp", "-rL", "--no-preserve=mode,ownership", from+"/.", to).CombinedOutput()
	if err != nil && !strings.Contains(string(out), "No such file") {
		t.Fatalf("copy %s: %v: %s", from, err, out)
	}
	if out, err := exec.Command("chmod", "-R", "a+rX,a+x", to).CombinedOutput(); err != nil {
		t.Fatalf("chmod: %v: %s", err, out)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, text, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
