# Where bench/hops puts an Envoy with a configuration of its own.
{
  networking.firewall.allowedTCPPorts = [ 15444 ];
}
