package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// cache is the folder that all labs of the machine share:
//
//	base-<hash>/   the base image, a root folder
//	store-<hash>/  /nix of the operator's side, for one base image
//	seed-<key>/    /nix with the closure of the first system, a lower layer
//	envoy-<hash>/  Envoy at its place on hosts, a lower layer
//	src-<hash>/    the embedded stand-in, unpacked
//	view/          empty; where a process mounts its own view of a root
//	labs/<id>      link to the state folder of a lab that has disks
//
// A folder appears by rename when it is complete, and is then read-only by
// convention, the store excepted.
type cache struct {
	dir string
	log func(string)
}

func (c *cache) path(elem ...string) string {
	return filepath.Join(append([]string{c.dir}, elem...)...)
}

// make returns the folder `name`, which fill builds once, in a folder of its
// own, under a lock of the whole machine.
func (c *cache) make(ctx context.Context, name string, fill func(ctx context.Context, dir string) error) (string, error) {
	final := c.path(name)
	lock, err := c.lock(ctx, name)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if isDir(final) {
		now := time.Now() // collect reads when it was last asked for
		if err := os.Chtimes(final, now, now); err != nil {
			return "", fmt.Errorf("use cache folder: %w", err)
		}
		return final, nil
	}
	tmp := final + ".part"
	if err := os.RemoveAll(tmp); err != nil {
		return "", fmt.Errorf("clear unfinished folder: %w", err)
	}
	if err := os.MkdirAll(tmp, 0o755); err != nil {
		return "", fmt.Errorf("make cache folder: %w", err)
	}
	if err := fill(ctx, tmp); err != nil {
		return "", err
	}
	if err := os.Rename(tmp, final); err != nil {
		return "", fmt.Errorf("publish cache folder: %w", err)
	}
	return final, nil
}

// lock takes the machine-wide lock of one name and says so when it waits.
func (c *cache) lock(ctx context.Context, name string) (*os.File, error) {
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return nil, fmt.Errorf("make cache folder: %w (set NIXMESH_CACHE to another one)", err)
	}
	return lockFile(ctx, c.path(name+".lock"), func() {
		c.log("waiting for another nixmesh that prepares " + name)
	})
}

// lockFile takes an exclusive lock on a file, waiting as long as ctx lives.
// waiting is called once if the lock is held by someone else. The lock ends
// when the file is closed, in every process that inherited it.
func lockFile(ctx context.Context, path string, waiting func()) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	for told := false; ; {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			f.Close()
			return nil, fmt.Errorf("take lock %s: %w", path, err)
		}
		if !told {
			told = true
			waiting()
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			f.Close()
			return nil, fmt.Errorf("wait for the holder of %s: %w", path, err)
		}
	}
}

// sleep waits, or ends early with the context's cause.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func isDir(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.IsDir()
}
