lab {
  nixpkgs = "path:../../lab/nixpkgs"
  secrets = {
    "secrets/api-db.age"    = "postgres://api:lab@postgres.mesh/shop"
    "secrets/worker-db.age" = "postgres://worker:lab@postgres.mesh/shop"
  }

  external "stripe" { hosts = ["10.99.0.250:443"] }
  gateway "public" { cert = "lab-ca" }
}
