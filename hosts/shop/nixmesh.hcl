fleet "shop" {
  nixpkgs  = "github:NixOS/nixpkgs/nixos-26.05"
  overlays = ["./packages.nix"]
  nixmesh  = "0.x"

  rollout {
    order    = ["@db", "@canary", "@app", "@edge"]
    parallel = 2
    confirm  = "90s"
    settle   = "3s"
    on_fail  = "stop"
  }
}

operator "anna" {
  ssh     = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINRu38q/QgCaVk/IrsdZG8pOsCkTgnvQqZb8fRbZm95h anna"]
  nix_key = "anna-1:scSNUqwvlTCzaZd0B4oIr8B9f7Jx7QDKDmHal4RCx5E="
  age     = "age12ws0u98h8hlhnwxyjem6xkcx3pjgy8g49mgrtgrzp5hffe0ksa9qzvwz70"
}

host "edge1" {
  address = "10.0.0.11"
  tags    = ["edge"]
  imports = ["./hosts/edge1.nix"]
}

host "app1" {
  address = "10.0.0.21"
  tags    = ["app"]
  imports = ["./hosts/app1.nix"]
}

host "app2" {
  address = "10.0.0.22"
  tags    = ["app", "canary"]
  imports = ["./hosts/app2.nix"]
}

host "db1" {
  address = "10.0.0.31"
  tags    = ["db"]
  imports = ["./hosts/db1.nix"]
}

host "db2" {
  address = "10.0.0.32"
  tags    = ["db"]
  imports = ["./hosts/db2.nix"]
}

service "web" {
  on      = ["@app"]
  package = "shop-web"
  exec    = "bin/web --listen 127.0.0.1:$PORT"
  env     = { API_URL = "http://api.mesh" }

  listen "http" {}
  check { http = "/healthz" }
}

service "api" {
  on      = ["@app"]
  package = "shop-api"
  exec    = "bin/api --listen 127.0.0.1:$PORT"

  listen "http" {}
  check { http = "/healthz" }

  limits {
    memory = "512MiB"
    cpu    = "150%"
  }
  harden = "strict"
}

service "worker" {
  on      = ["app2"]
  package = "shop-worker"
  exec    = "bin/worker"

  check { exec = "bin/worker ping" }
}

# Started by NixOS modules; watched by nixmesh.
service "postgres" {
  on    = ["db1"]
  unit  = "postgresql.service"
  nixos = { "services.postgresql" = { enable = true, ensureDatabases = ["shop"] } }

  listen "tcp" { port = 5432 }
  check {
    exec    = "bin/pg_isready"
    package = "postgresql"
  }
}

service "redis" {
  on    = ["db2"]
  unit  = "redis-shop.service"
  nixos = { "services.redis.servers.shop" = { enable = true, port = 6379 } }

  listen "tcp" { port = 6379 }
  check { tcp = true }
}
