package spec

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLockLines: one bad line is one diagnostic, at its place, with a way out.
func TestLockLines(t *testing.T) {
	for _, c := range []struct{ line, code string }{
		{"port web 20001", "NM0702"},
		{"gone port old 20000", "NM0702"},
		{"ca shop SHA256:", "NM0703"},
		{"port api 20009", "NM0703"},
		{"port  web 20001", "NM0703"},
		{"port web", "NM0703"},
		{"port web 8080", "NM0703"},
		{"port web 020001", "NM0703"},
		{"port we$b 20005", "NM0703"},
		{"port web api 20005", "NM0703"},
		{"uid nm-web 39998", "NM0703"},
		{"addr web 127.64.0.0", "NM0703"},
		{"addr web 127.64.3.255", "NM0703"},
		{"addr web 127.65.0.1", "NM0703"},
		{"addr web ::1", "NM0703"},
		{"addr web 7", "NM0703"},
		{"edge web 15900", "NM0703"},
		{"edge web api 15899", "NM0703"},
		{"prot web 20001", "NM0703"},
		{"hostkey app1 ssh-rsa AAAA", "NM0703"},
		{"gone hostkey app1 " + testKey, "NM0703"},
		{"authority", "NM0703"},
		{"authority db1 db2", "NM0703"},
		{"ca shop MD5:x", "NM0703"},
		{"<<<<<<< HEAD", "NM0703"},
		{"=======", "NM0703"},
	} {
		text := lockHeader + "\nport api 20000\nport cron 20001\n" + c.line + "\n"
		_, d := parseLock([]byte(text))
		if len(d) != 1 || d[0].Code != c.code || d[0].Start.Line != 4 || d[0].File != LockFile || d[0].Hint == "" || d[0].End.Column != 1+len(c.line) {
			t.Errorf("%q: got %+v, want %s", c.line, d, c.code)
		}
	}
	for _, first := range []string{"nixmesh-lock 2", "port web 20000"} {
		_, d := parseLock([]byte(first + "\nport web 20000\n"))
		if len(d) != 1 || d[0].Code != "NM0703" || d[0].Start.Line != 1 {
			t.Errorf("%q: got %v", first, d)
		}
	}
}

// TestLockEmpty: a file without any line is no lock of a new fleet.
func TestLockEmpty(t *testing.T) {
	for _, text := range []string{"", "\n", " \r\n\t"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, LockFile), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		l, d := ReadLock(dir)
		if l != nil || len(d) != 1 || d[0].Code != "NM0703" || d[0].Detail != "The file is empty." || d[0].Start.Line != 1 {
			t.Errorf("%q: got %v", text, d)
		}
	}
	if l, d := ReadLock(t.TempDir()); l == nil || d != nil {
		t.Errorf("without a file: %v", d)
	}
}

// TestLockMarkers: a merge that was left half done is one mistake, whatever the
// sides say.
func TestLockMarkers(t *testing.T) {
	for _, text := range []string{
		lockHeader + "\n<<<<<<< HEAD\nport api 20000\n||||||| base\n=======\nport web 20000\n>>>>>>> other\nuid nm-web 32000\n",
		"<<<<<<< HEAD\n" + lockHeader + "\nport api 20000\n=======\n" + lockHeader + "\nport api 20001\n>>>>>>> other\n",
	} {
		if _, d := parseLock([]byte(text)); len(d) != 1 || d[0].Code != "NM0703" || !strings.Contains(d[0].Hint, "merge=union") {
			t.Errorf("got %v", d)
		}
	}
}

// TestLockSides: where two sides of a merge agree, nothing is refused.
func TestLockSides(t *testing.T) {
	l := mustParseLock(t, []byte(lockHeader+"\nauthority db1\nauthority db1\nca shop SHA256:LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE\nca shop SHA256:LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE\ngone port web 20001\nhostkey a "+testKey+"\nhostkey a "+testKey+"\nport web 20001\nport web 20001\n"))
	lockIs(t, l, "authority db1", "ca shop SHA256:LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE", "hostkey a "+testKey, "port web 20001")
	if !l.untidy {
		t.Error("the file would not be written anew")
	}
	other := strings.Replace(testKey, "NRu38", "NRu39", 1)
	for text, hint := range map[string]string{
		"hostkey a " + testKey + "\nhostkey a " + other: "delete both lines, then: nixmesh host trust a",
		"ca shop SHA256:LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE\nca shop SHA256:ofzkNjhU/4iM/0uOeHXWAMJoI5BBKoz3mzfQsRFIsPo": "keep the line of the root that the hosts run with",
	} {
		if _, d := parseLock([]byte(lockHeader + "\n" + text + "\n")); len(d) != 1 || d[0].Start.Line != 3 || d[0].Hint != hint {
			t.Errorf("got %v", d)
		}
	}
}

func TestRenumber(t *testing.T) {
	for _, c := range []struct{ name, text, hint, want string }{
		{"two names, the later one moves", "edge web api:main 15900\nedge web redis 15900",
			`nixmesh lock --renumber "edge web redis"`, "edge web api:main 15900\nedge web redis 15901"},
		{"what is gone moves", "gone uid nm-old 32000\nuid nm-web 32000",
			`nixmesh lock --renumber "uid nm-old"`, "gone uid nm-old 32001\nuid nm-web 32000"},
		{"both are gone", "gone addr a 127.64.0.1\ngone addr b 127.64.0.1",
			`nixmesh lock --renumber "addr b"`, "gone addr a 127.64.0.1\ngone addr b 127.64.0.2"},
		{"two numbers, the lower one stays", "port web 20001\nport web 20004",
			`nixmesh lock --renumber "port web" keeps 20001; if hosts run with 20004, delete the line of 20001 instead`, "port web 20001"},
		{"two numbers, the lower one is another's", "port api 20001\nport web 20001\nport web 20004",
			`nixmesh lock --renumber "port web"`, "port api 20001\nport web 20004"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, LockFile, lockHeader+"\n"+c.text+"\n")
			_, d := ReadLock(dir)
			if len(d) == 0 || d[0].Hint != c.hint {
				t.Fatalf("got %+v", d)
			}
			l, d, err := Renumber(dir, renumberOf(d[0]))
			if err != nil || len(d) > 0 {
				t.Fatal(d, err)
			}
			lockIs(t, l, strings.Split(c.want, "\n")...)
		})
	}
}

func TestRenumberAlone(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, LockFile, lockHeader+"\nport api 20000\nport web 20001\n")
	l, d, err := Renumber(dir, "port api")
	if err != nil || len(d) > 0 || l.Port("api", "", "", 1) != 20002 || l.Port("web", "", "", 1) != 20001 {
		t.Errorf("got %v, %v, %v", l, d, err)
	}
	if _, _, err := Renumber(dir, "port wep"); err == nil || !strings.Contains(err.Error(), `did you mean "port web"?`) {
		t.Errorf("got %v", err)
	}
	write(t, dir, LockFile, lockHeader+"\nport api 20000\nport web\n")
	if _, d, err := Renumber(dir, "port api"); err != nil || len(d) != 1 || d[0].Code != "NM0703" {
		t.Errorf("got %v, %v", d, err)
	}
}

// renumberOf is what the command in a hint asks for.
func renumberOf(d Diagnostic) string {
	_, rest, _ := strings.Cut(d.Hint, `nixmesh lock --renumber "`)
	name, _, _ := strings.Cut(rest, `"`)
	return name
}
