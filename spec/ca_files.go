package spec

// Files of a fleet's CA, below the fleet's folder, in version control.
const (
	CAFile     = "secrets/ca.pem"      // the public roots
	CARootFile = "secrets/ca-root.age" // the root's key, for the operators with ca = true
	GossipFile = "secrets/gossip.age"  // the key of the agents' membership packets, for all hosts
)

// caFiles are the age files that `nixmesh ca init` made: none before.
func (f *Fleet) caFiles() []AgeFile {
	if f.CA.Root == "" {
		return nil
	}
	hosts := make([]string, 0, len(f.Hosts))
	for _, h := range f.Hosts {
		hosts = append(hosts, h.Name)
	}
	return []AgeFile{
		{File: CARootFile, Users: []string{"CA"}, CA: true},
		{File: GossipFile, Users: []string{"agents"}, Hosts: hosts},
	}
}

// ofCA says whether a file is one of caFiles.
func (f *Fleet) ofCA(file string) bool {
	return f.CA.Root != "" && (file == CARootFile || file == GossipFile)
}

// caRoot is the fingerprint of the CA's root in the lock, "" without one. The
// lock's own mistakes are told where it is read to be used.
func caRoot(dir string) string {
	lock, _ := ReadLock(dir)
	if lock == nil {
		return ""
	}
	return lock.CA()
}
