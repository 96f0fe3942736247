package unseal

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/trust"
)

// host is a host's key and folders, and the manifest being written.
type host struct {
	t        *testing.T
	dir      string
	mount    string
	key      trust.SSHKey
	manifest hostfacts.Secrets
}

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{t: t, dir: t.TempDir()}
	h.mount = filepath.Join(h.dir, "mount")
	if err := os.Mkdir(h.mount, 0o700); err != nil {
		t.Fatal(err)
	}
	h.key = h.newKey("host")
	h.reset()
	return h
}

func (h *host) reset() {
	h.manifest = hostfacts.Secrets{Schema: hostfacts.SecretsSchema, Identity: filepath.Join(h.dir, "host")}
}

func (h *host) newKey(name string) trust.SSHKey {
	h.t.Helper()
	key, err := trust.GenerateSSHKey(name)
	if err != nil {
		h.t.Fatal(err)
	}
	if err := key.Save(filepath.Join(h.dir, name)); err != nil {
		h.t.Fatal(err)
	}
	return key
}

// secret adds a secret that is encrypted for a key.
func (h *host) secret(file, text string, key trust.SSHKey) {
	h.t.Helper()
	sealed, err := trust.Encrypt([]byte(text), []string{key.Authorized})
	if err != nil {
		h.t.Fatal(err)
	}
	h.ciphertext(file, sealed)
}

func (h *host) ciphertext(file string, content []byte) {
	h.t.Helper()
	source := strings.ReplaceAll(file, "/", "-") + ".age"
	path := filepath.Join(h.dir, source)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		h.t.Fatal(err)
	}
	h.manifest.Secrets = append(h.manifest.Secrets, hostfacts.Secret{Ciphertext: path, File: file, Source: source})
}

func (h *host) environment(file string, variables map[string]string) {
	h.manifest.Environment = append(h.manifest.Environment, hostfacts.SecretEnvironment{File: file, Variables: variables})
}

func (h *host) run() error {
	h.t.Helper()
	text, err := json.Marshal(h.manifest)
	if err != nil {
		h.t.Fatal(err)
	}
	file := filepath.Join(h.dir, "manifest.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		h.t.Fatal(err)
	}
	return Run(file, h.mount)
}

// files are the contents of everything below the mount, which nobody but its
// owner can read.
func (h *host) files() map[string]string {
	h.t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(h.mount, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o400)
		if d.IsDir() {
			want = 0o700
		}
		if info.Mode().Perm() != want {
			h.t.Errorf("%s has mode %o, want %o", path, info.Mode().Perm(), want)
		}
		if d.IsDir() {
			return nil
		}
		text, err := os.ReadFile(path)
		rel, _ := filepath.Rel(h.mount, path)
		got[rel] = string(text)
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return got
}

func (h *host) want(files map[string]string) {
	h.t.Helper()
	if diff := cmp.Diff(files, h.files()); diff != "" {
		h.t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestTheSetIsReplacedAsAWhole(t *testing.T) {
	h := newHost(t)
	h.secret("api@v1/DATABASE_URL", "postgres://old", h.key)
	h.secret("web/TOKEN", "t\n", h.key)
	if err := h.run(); err != nil {
		t.Fatal(err)
	}
	h.want(map[string]string{"current/api@v1/DATABASE_URL": "postgres://old", "current/web/TOKEN": "t\n"})

	h.reset()
	h.secret("api@v1/DATABASE_URL", "postgres://new", h.key)
	if err := os.MkdirAll(filepath.Join(h.mount, "next/left"), 0o700); err != nil { // by a run that was killed
		t.Fatal(err)
	}
	if err := h.run(); err != nil {
		t.Fatal(err)
	}
	h.want(map[string]string{"current/api@v1/DATABASE_URL": "postgres://new"})

	h.reset()
	if err := h.run(); err != nil {
		t.Fatalf("a host without secrets: %v", err)
	}
	h.want(map[string]string{})
}

func TestOneBadSecretLeavesTheOthers(t *testing.T) {
	h := newHost(t)
	h.secret("api/DATABASE_URL", "hunter2", h.newKey("another"))
	h.secret("web/TOKEN", "hunter3", h.key)
	h.ciphertext("web/DAMAGED", []byte("hunter4"))
	h.environment("api.env", map[string]string{"DATABASE_URL": hostfacts.SecretsDir + "/api/DATABASE_URL"})
	h.environment("web.env", map[string]string{"TOKEN": hostfacts.SecretsDir + "/web/TOKEN"})
	err := h.run()
	want := "secret DATABASE_URL of api (api-DATABASE_URL.age): it is not encrypted for this host's key; on the operator's machine run: nixmesh secret rekey\n" +
		"secret DAMAGED of web (web-DAMAGED.age): not an age file, or a damaged one"
	if err == nil || err.Error() != want {
		t.Errorf("error is\n%v\nwant\n%s", err, want)
	}
	h.want(map[string]string{"current/web/TOKEN": "hunter3", "current/web.env": "TOKEN=\"hunter3\"\n"})
}

func TestWithoutTheHostKeyNothingOfItIsLeft(t *testing.T) {
	h := newHost(t)
	outside := filepath.Join(h.dir, "outside")
	if err := os.WriteFile(outside, []byte("of sops\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.secret("api/DATABASE_URL", "hunter2", h.key)
	h.environment("web.env", map[string]string{"TOKEN": outside})
	if err := h.run(); err != nil {
		t.Fatal(err)
	}
	h.manifest.Identity = filepath.Join(h.dir, "none")
	if err := h.run(); err == nil || !strings.Contains(err.Error(), "host's key") {
		t.Errorf("error is %v", err)
	}
	h.want(map[string]string{"current/web.env": "TOKEN=\"of sops\"\n"})
}

func TestEnvironmentFile(t *testing.T) {
	h := newHost(t)
	outside := filepath.Join(h.dir, "outside")
	if err := os.WriteFile(outside, []byte("of sops\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.secret("api/A", "quote \" dollar $HOME tick ` back \\ percent %d\n", h.key)
	h.secret("api/B", "two\nlines\n\n", h.key)
	h.environment("api.env", map[string]string{"A": hostfacts.SecretsDir + "/api/A", "B": hostfacts.SecretsDir + "/api/B", "C": outside})
	if err := h.run(); err != nil {
		t.Fatal(err)
	}
	want := "A=\"quote \\\" dollar \\$HOME tick \\` back \\\\ percent %d\"\nB=\"two\nlines\n\"\nC=\"of sops\"\n"
	if got := h.files()["current/api.env"]; got != want {
		t.Errorf("api.env is\n%s\nwant\n%s", got, want)
	}
}

func TestWhatNoVariableCanHold(t *testing.T) {
	for text, want := range map[string]string{"a\x00b": "NUL", "a\xffb": "UTF-8"} {
		h := newHost(t)
		h.secret("api/A", text, h.key)
		h.environment("api.env", map[string]string{"A": hostfacts.SecretsDir + "/api/A"})
		if err := h.run(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error is %v", text, err)
		}
		h.want(map[string]string{"current/api/A": text})
	}
	if _, err := assignment("A B", []byte("x")); err == nil {
		t.Error("a name with a space is accepted")
	}
}

func TestAManifestThatLeadsOutIsRefused(t *testing.T) {
	for _, file := range []string{"../x", "/etc/x", "a/../../x", ""} {
		h := newHost(t)
		h.secret("api/A", "hunter2", h.key)
		h.manifest.Secrets[0].File = file
		if err := h.run(); err == nil {
			t.Errorf("%q is accepted", file)
		}
		h.want(map[string]string{})
	}
	h := newHost(t)
	h.manifest.Schema = "nixmesh.secrets/9"
	if err := h.run(); err == nil || !strings.Contains(err.Error(), "nixmesh.secrets/9") {
		t.Errorf("another schema: %v", err)
	}
}

// A key and its certificate are one file for the agent, in folders that anybody
// may pass and nobody may list.
func TestAnotherUserReadsHisFileOnly(t *testing.T) {
	h := newHost(t)
	reader := os.Getuid()
	if reader == 0 {
		reader = 39998
	}
	public := filepath.Join(h.dir, "chain.pem")
	if err := os.WriteFile(public, []byte("CERTIFICATE"), 0o644); err != nil {
		t.Fatal(err)
	}
	h.secret("gateway.public/own.pem", "KEY\n", h.key)
	h.manifest.Secrets[0].Public, h.manifest.Secrets[0].Reader = public, reader
	h.secret("web/TOKEN", "t", h.key)
	h.secret("gateway.other/own.pem", "KEY\n", h.key)
	h.manifest.Secrets[2].Public = public + ".gone"
	err := h.run()
	if err == nil || !strings.HasPrefix(err.Error(), "secret own.pem of gateway.other (gateway.other-own.pem.age): open ") {
		t.Errorf("a certificate that is not there: %v", err)
	}
	for path, want := range map[string]struct {
		mode fs.FileMode
		uid  int
	}{
		"":                               {0o711, os.Getuid()},
		"current":                        {0o711, os.Getuid()},
		"current/gateway.public":         {0o711, os.Getuid()},
		"current/gateway.public/own.pem": {0o400, reader},
		"current/web":                    {0o700, os.Getuid()},
		"current/web/TOKEN":              {0o400, os.Getuid()},
	} {
		info, err := os.Stat(filepath.Join(h.mount, path))
		if err != nil {
			t.Error(err)
			continue
		}
		if uid := int(info.Sys().(*syscall.Stat_t).Uid); info.Mode().Perm() != want.mode || uid != want.uid {
			t.Errorf("%q has mode %o and user %d, want %o and %d", path, info.Mode().Perm(), uid, want.mode, want.uid)
		}
	}
	text, err := os.ReadFile(filepath.Join(h.mount, "current/gateway.public/own.pem"))
	if err != nil || string(text) != "CERTIFICATE\nKEY\n" {
		t.Errorf("the file holds %q, %v", text, err)
	}
}
