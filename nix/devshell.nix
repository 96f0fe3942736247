# What `make build test demo lint` call, and nothing else.
{
  mkShell,
  go,
  gnumake,
  git,
  openssh,
  nixfmt-rfc-style,
  debootstrap,
  nftables,
  iproute2,
}:
mkShell {
  packages = [
    go
    gnumake
    git
    openssh
    nixfmt-rfc-style
    debootstrap
    nftables
    iproute2
  ];
}
