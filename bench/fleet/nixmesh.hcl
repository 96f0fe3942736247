fleet "bench" {
  nixpkgs  = "github:NixOS/nixpkgs/nixos-26.05"
  overlays = ["./packages.nix"]

  rollout {
    confirm = "60s"
    settle  = "2s"
  }
}

operator "anna" {
  ssh     = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINRu38q/QgCaVk/IrsdZG8pOsCkTgnvQqZb8fRbZm95h anna"]
  nix_key = "anna-1:scSNUqwvlTCzaZd0B4oIr8B9f7Jx7QDKDmHal4RCx5E="
}

host "a" {
  address = "10.0.9.11"
  imports = ["./hosts/machine.nix"]
}

host "b" {
  address = "10.0.9.12"
  imports = ["./hosts/machine.nix", "./hosts/static.nix"]
}

host "c" {
  address = "10.0.9.13"
  imports = ["./hosts/machine.nix"]
}

# Who calls, on a.
service "front" {
  on      = ["a"]
  package = "bench-echo"
  exec    = "bin/echo --http 127.0.0.1:$PORT"

  listen "http" {}
  check { http = "/healthz" }

  upstream "back" {}
  upstream "single" {}
}

# Who is called, on two hosts: the health of its copies flips. They are many, since
# the fleet does not believe one that flips often.
service "back" {
  on   = ["b", "c"]
  exec = "bin/echo --http 127.0.0.1:$PORT"

  listen "http" {}
  check {
    http    = "/healthz"
    every   = "500ms"
    timeout = "400ms"
    rise    = 1
    fall    = 1
  }

  version "v1" { package = "bench-echo" }
  version "v2" { package = "bench-echo" }
  version "v3" { package = "bench-echo" }
  version "v4" { package = "bench-echo" }
  version "v5" { package = "bench-echo" }
  version "v6" { package = "bench-echo" }
  version "v7" { package = "bench-echo" }
  version "v8" { package = "bench-echo" }
  version "v9" { package = "bench-echo" }
  version "v10" { package = "bench-echo" }
  version "v11" { package = "bench-echo" }
  version "v12" { package = "bench-echo" }
  version "v13" { package = "bench-echo" }

  route "/v1/" { to = "v1" }
  route "/v2/" { to = "v2" }
  route "/v3/" { to = "v3" }
  route "/v4/" { to = "v4" }
  route "/v5/" { to = "v5" }
  route "/v6/" { to = "v6" }
  route "/v7/" { to = "v7" }
  route "/v8/" { to = "v8" }
  route "/v9/" { to = "v9" }
  route "/v10/" { to = "v10" }
  route "/v11/" { to = "v11" }
  route "/v12/" { to = "v12" }
  route "/v13/" { to = "v13" }
}

# Who is called, on one host: what may be called changes.
service "single" {
  on      = ["b"]
  package = "bench-echo"
  exec    = "bin/echo --http 127.0.0.1:$PORT"

  listen "http" {}
  check { http = "/healthz" }

  allow "front" { paths = ["/open/"] }
}
