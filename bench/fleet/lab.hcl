lab {
  nixpkgs = "path:../../lab/nixpkgs"
}
