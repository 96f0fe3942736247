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

  telemetry { access_log = "errors" }
}

operator "anna" {
  ssh     = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINRu38q/QgCaVk/IrsdZG8pOsCkTgnvQqZb8fRbZm95h anna"]
  nix_key = "anna-1:scSNUqwvlTCzaZd0B4oIr8B9f7Jx7QDKDmHal4RCx5E="
  age     = "age12ws0u98h8hlhnwxyjem6xkcx3pjgy8g49mgrtgrzp5hffe0ksa9qzvwz70"
  ca      = true
  access  = ["postgres"]
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

  upstream "redis" {}
  upstream "api" {
    timeout = "2s"
    retry {
      attempts = 3
      on       = ["5xx", "reset"]
    }
  }
}

service "api" {
  on      = ["@app"]
  exec    = "bin/api --listen 127.0.0.1:$PORT"
  secrets = { DATABASE_URL = "secrets/api-db.age", STRIPE_KEY = "secrets/stripe.age" }

  listen "http" {}
  check { http = "/healthz" }

  version "v1" { package = "shop-api-v1" }
  version "v2" {
    package = "shop-api-v2"
    on      = ["@canary"]
  }
  split = { v1 = 90, v2 = 10 }

  # The plan that `nixmesh mesh shift api v2` follows.
  canary {
    steps       = [10, 25, 50, 100]
    every       = "10m"
    min_success = 99.5
    max_p99     = "400ms"
  }

  upstream "postgres" {}
  upstream "redis" {}
  upstream "stripe" { timeout = "5s" }

  # Callers are the services that name api as an upstream; these narrow them.
  allow "web" { methods = ["GET", "POST"] }
  allow "worker" { paths = ["/internal/"] }

  route "/reports/" { timeout = "30s" }

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
  secrets = { DATABASE_URL = "secrets/worker-db.age" }

  check { exec = "bin/worker ping" }

  upstream "api" {}
  upstream "postgres" {}
  upstream "redis" {}
}

# Started by NixOS modules; watched and meshed by nixmesh.
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

gateway "public" {
  on   = ["@edge"]
  acme = "ops@shop.example"

  route "shop.example" { to = "web" }
  route "shop.example/api/" {
    to      = "api"
    rewrite = "/"
  }
}

external "stripe" { hosts = ["api.stripe.com:443"] }
