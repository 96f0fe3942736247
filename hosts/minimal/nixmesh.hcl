fleet "minimal" {
  nixpkgs  = "github:NixOS/nixpkgs/nixos-26.05"
  overlays = ["./packages.nix"]
}

operator "anna" {
  ssh     = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINRu38q/QgCaVk/IrsdZG8pOsCkTgnvQqZb8fRbZm95h anna"]
  nix_key = "anna-1:scSNUqwvlTCzaZd0B4oIr8B9f7Jx7QDKDmHal4RCx5E="
}

host "node1" {
  address = "10.0.0.10"
  imports = ["./hosts/node1.nix"]
}

service "hello" {
  on      = ["node1"]
  package = "hello-web"
  exec    = "bin/web --listen 127.0.0.1:$PORT"

  listen "http" {}
  check { http = "/healthz" }
}
