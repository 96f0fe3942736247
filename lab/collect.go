package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// unusedFor is how long a first system, an Envoy or unpacked sources stay in the cache
// after the last lab that asked for them.
const unusedFor = 14 * 24 * time.Hour

// remember registers a lab that is about to have disks, which lie over folders
// of the cache: collect spares those.
func (c *cache) remember(id, state string) error {
	link := c.path("labs", id)
	if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
		return fmt.Errorf("register lab: %w", err)
	}
	if err := os.Symlink(state, link); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("register lab: %w", err)
	}
	return nil
}

// forget undoes remember when the disks are gone.
func (c *cache) forget(id string) error {
	if err := os.Remove(c.path("labs", id)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("unregister lab: %w", err)
	}
	return nil
}

// collect removes first systems, Envoys and sources that nobody asked for since
// unusedFor and that no lab's disks lie over, whether that lab runs or waits
// for a `lab up` after a blackout. Each is removed under the lock that make
// takes before it hands the folder out.
func (c *cache) collect(ctx context.Context, now time.Time) error {
	used, err := c.used()
	if err != nil {
		return fmt.Errorf("find what labs use: %w", err)
	}
	var errs []error
	for _, pattern := range []string{"seed-*", "envoy-*", "src-*"} {
		paths, err := filepath.Glob(c.path(pattern))
		errs = append(errs, err)
		for _, path := range paths {
			name := strings.TrimSuffix(filepath.Base(path), ".part") // a build that was killed
			if !isDir(path) || slices.Contains(used, name) || !unused(path, now) {
				continue
			}
			errs = append(errs, c.drop(ctx, name, path, now))
		}
	}
	return errors.Join(errs...)
}

// drop removes a folder, unless make has just handed it out.
func (c *cache) drop(ctx context.Context, name, path string, now time.Time) error {
	lock, err := c.lock(ctx, name)
	if err != nil {
		return err
	}
	defer lock.Close()
	if !unused(path, now) {
		return nil
	}
	part := c.path(name + ".part") // what is left when this is killed, make and collect clear
	if path != part {
		if err := os.RemoveAll(part); err != nil {
			return fmt.Errorf("clear cache: %w", err)
		}
		if err := os.Rename(path, part); err != nil {
			return fmt.Errorf("clear cache: %w", err)
		}
	}
	if err := os.RemoveAll(part); err != nil {
		return fmt.Errorf("clear cache: %w", err)
	}
	return nil
}

func unused(path string, now time.Time) bool {
	st, err := os.Stat(path)
	return err == nil && now.Sub(st.ModTime()) > unusedFor
}

// used names the cache's folders that the disks of registered labs lie over.
// A lab whose state folder is gone is struck off, unless it still runs: then
// nobody knows what it uses.
func (c *cache) used() ([]string, error) {
	labs, err := filepath.Glob(c.path("labs", "*"))
	if err != nil {
		return nil, err
	}
	var used []string
	for _, link := range labs {
		if _, err := os.Stat(link); errors.Is(err, os.ErrNotExist) {
			id := filepath.Base(link)
			if _, err := net.InterfaceByName(linkPrefix + id); err == nil {
				return nil, fmt.Errorf("lab %s runs without its state folder; kill its process %s", id, stageSupervise)
			}
			if err := c.forget(id); err != nil {
				return nil, err
			}
			continue
		}
		disks, err := filepath.Glob(filepath.Join(link, "hosts", "*", hostDiskFile))
		if err != nil {
			return nil, err
		}
		for _, path := range disks {
			var disk hostDisk
			if err := disk.read(filepath.Dir(path)); errors.Is(err, os.ErrNotExist) {
				continue // that lab went down
			} else if err != nil {
				return nil, err
			}
			for _, dir := range disk.Lower {
				if rest, ok := strings.CutPrefix(dir, c.dir+"/"); ok {
					name, _, _ := strings.Cut(rest, "/")
					used = append(used, name)
				}
			}
		}
	}
	return used, nil
}
