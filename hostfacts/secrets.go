package hostfacts

// SecretsSchema is the value of Secrets.Schema that this version writes.
const SecretsSchema = "nixmesh.secrets/1"

// SecretsMount is the tmpfs for what a host has unsealed, root's alone.
const SecretsMount = "/run/nixmesh/secrets"

// SecretsDir is the folder in it that holds the secrets of now. It is replaced
// as a whole, so that nobody sees one new secret beside an old one.
const SecretsDir = SecretsMount + "/current"

// Secrets says what a host unseals before its services start. It holds names
// and paths, no secret: the file is in the store beside the ciphertext.
type Secrets struct {
	Schema      string              `json:"schema"`
	Identity    string              `json:"identity"` // the host's SSH key, "/etc/ssh/ssh_host_ed25519_key"
	Secrets     []Secret            `json:"secrets"`
	Environment []SecretEnvironment `json:"environment"`
}

// Secret is one age file that becomes one file of SecretsDir. Where it stands
// in the HCL is left out: a moved line must not change a toplevel.
type Secret struct {
	Ciphertext string `json:"ciphertext"` // store path
	File       string `json:"file"`       // below SecretsDir: INSTANCE/NAME, "api@v1/DATABASE_URL"
	Source     string `json:"source"`     // the age file's name, for messages: "api-db.age"

	// Public is the store path of a text that stands before the secret in its file:
	// the certificate of a key. In one file, nobody sees one with another's.
	Public string `json:"public,omitempty"`
	// Reader is the uid of the one user beside root who reads the file, 0 = nobody.
	Reader int `json:"reader,omitempty"`
}

// SecretEnvironment is one EnvironmentFile: File below SecretsDir is written with
// NAME="value" for each variable, whose value is read from the path given.
type SecretEnvironment struct {
	File      string            `json:"file"`      // "api@v1.env"
	Variables map[string]string `json:"variables"` // name -> absolute path, in SecretsDir or elsewhere
}
