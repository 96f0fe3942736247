# What Envoy starts with, as a file, and its flags. Not a module. It never depends on
# services: what is routed the agent tells. A host whose Envoy runs with another file
# than its toplevel names gets it restarted, drained; that is why the flags stand in
# it, too.
{ lib, pkgs, cfg }:
let
  own = cfg.envoy;

  typed = type: value: { "@type" = "type.googleapis.com/${type}"; } // value;

  # What the process has beside its heap: its program, threads, buffers of the kernel.
  heap = own.memory * 1024 * 1024 * 8 / 10;

  # Those from outside at once, each of which may hold some 50 KB: its buffers, and
  # TLS. They leave a quarter of the heap to the mesh.
  connections = own.memory * 12;

  # Connections of a filter chain that went away live so long: those of a caller
  # that may not call any more, and those of a gateway whose listener changed. It is
  # longer than requests take, and as short as a revocation may last.
  drainTime = 10;

  bootstrap = {
    # No locality: the agent computes which zone comes first.
    node = {
      id = cfg.host;
      cluster = cfg.fleet;
      metadata = {
        inherit flags;
        threads = if own.concurrency == null then "half of the cores" else toString own.concurrency;
      };
    };

    admin = {
      address.pipe = {
        path = adminSocket;
        mode = 432; # 0660
      };
      # It answers also when there are too many connections.
      ignore_global_conn_limit = true;
    };

    dynamic_resources = {
      ads_config = {
        api_type = "DELTA_GRPC";
        transport_api_version = "V3";
        set_node_on_first_message_only = true;
        grpc_services = [
          {
            envoy_grpc = {
              cluster_name = "xds";
              # An agent that was restarted is found again at once.
              retry_policy.retry_back_off = {
                base_interval = "0.1s";
                max_interval = "1s";
              };
            };
          }
        ];
      };
      # Without its agent it waits, rather than being ready with nothing.
      cds_config = ads;
      lds_config = ads;
    };

    static_resources.clusters = [
      {
        name = "xds";
        type = "STATIC";
        connect_timeout = "1s";
        typed_extension_protocol_options."envoy.extensions.upstreams.http.v3.HttpProtocolOptions" =
          typed "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
            {
              explicit_http_config.http2_protocol_options.connection_keepalive = {
                interval = "30s";
                timeout = "5s";
              };
            };
        load_assignment = {
          cluster_name = "xds";
          endpoints = [
            { lb_endpoints = [ { endpoint.address.pipe.path = "/run/nixmesh/xds.sock"; } ]; }
          ];
        };
      }
    ];

    layered_runtime.layers = [
      {
        name = "static";
        # By itself, Envoy refuses a pattern such as "/[a-z]{1,100}".
        static_layer."re2.max_program_size.error_level" = 16384;
      }
    ];

    # What is counted costs memory for each cluster and listener: what the agent
    # tells of, and what explains a failure.
    stats_config = {
      use_all_default_tags = true;
      stats_matcher.inclusion_list.patterns =
        map (prefix: { inherit prefix; }) [
          "cluster_manager."
          "control_plane."
          "listener_manager."
          "overload."
          "server."
        ]
        ++ map (regex: { safe_regex = { inherit regex; }; }) [
          # By caller and upstream, and to the copies on this host.
          "cluster\\.(u|local|x)[_:].*\\.(upstream_(cx_(active|total|connect_fail|connect_timeout|destroy_with_active_rq|none_healthy|overflow|pool_overflow|rx_bytes_total|tx_bytes_total)|rq_(active|completed|[1-5]xx|[1-5][0-9][0-9]|total|time|timeout|pending_active|pending_overflow|retry|retry_success|retry_overflow|retry_limit_exceeded|rx_reset|tx_reset|per_try_timeout))|membership_(healthy|total|degraded|excluded)|assignment_(stale|timeout_received|use_cached)|outlier_detection\\.(ejections_active|ejections_enforced_total)|ssl\\.(handshake|connection_error|fail_verify_.*)|lb_healthy_panic|circuit_breakers\\.default\\.(cx|rq|rq_pending|rq_retry)_open)"
          "cluster\\.xds\\.(upstream_cx_(active|total|connect_fail)|upstream_rq_active)"
          "listener\\..*\\.(downstream_cx_(active|total|overflow|overload_reject)|no_filter_chain_match|ssl\\.(handshake|connection_error|fail_verify_.*))"
          "http\\..*\\.(downstream_(cx_(active|total)|rq_(active|completed|total|time|[1-5]xx|timeout|idle_timeout|rx_reset))|no_route|no_cluster|rq_direct_response|.*rbac\\..*|fault\\..*|.*rate_limit.*)"
          "tcp\\..*\\.(downstream_cx_(total|no_route|rx_bytes_total|tx_bytes_total)|idle_timeout|max_downstream_connection_duration)"
          "redis\\..*\\.(downstream_(cx_(active|total)|rq_(active|total))|splitter\\.invalid_request)"
          ".*(rbac|local_rate_limit).*\\.(allowed|denied|shadow_allowed|shadow_denied|rate_limited|enforced|ok)"
        ];
    };

    # It refuses work before the kernel ends it.
    overload_manager = {
      refresh_interval = "0.25s";
      # Streams that hold 1 MiB are known by what they hold.
      buffer_factory_config.minimum_account_to_track_power_of_two = 20;
      resource_monitors = [
        {
          name = "envoy.resource_monitors.fixed_heap";
          typed_config = typed "envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig" {
            max_heap_size_bytes = heap;
          };
        }
        {
          name = "envoy.resource_monitors.global_downstream_max_connections";
          typed_config =
            typed "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"
              {
                # What the agent has its gateways bounded by, too: Envoy counts here
                # also those that have not said a word yet, but takes one off for each
                # connection of the mesh that ends, though it did not count that.
                max_active_downstream_connections = connections;
              };
        }
      ];
      actions =
        let
          at = name: threshold: {
            name = "envoy.overload_actions.${name}";
            triggers = [
              {
                name = "envoy.resource_monitors.fixed_heap";
                threshold.value = threshold;
              }
            ];
          };
        in
        [
          (at "shrink_heap" 0.85)
          (at "disable_http_keepalive" 0.9)
          # Those of HTTP/2 that hold the most, first.
          {
            name = "envoy.overload_actions.reset_high_memory_stream";
            triggers = [
              {
                name = "envoy.resource_monitors.fixed_heap";
                scaled = {
                  scaling_threshold = 0.9;
                  saturation_threshold = 0.95;
                };
              }
            ];
          }
          (at "stop_accepting_requests" 0.95)
          (at "stop_accepting_connections" 0.98)
        ];
    };
  };

  ads = {
    ads = { };
    resource_api_version = "V3";
    initial_fetch_timeout = "0s";
  };

  # No hot restart: it would have two main processes, and systemd knows one. The
  # access log is written each second.
  flags = builtins.concatStringsSep " " [
    "--drain-time-s ${toString drainTime}"
    "--drain-strategy immediate"
    "--file-flush-interval-msec 1000"
    "--log-level warning"
    "--log-format '%l %n: %v'"
    "--disable-hot-restart"
  ];

  # In systemd's folder for the unit, which nobody else writes to.
  adminSocket = "/run/nixmesh/envoy/admin.sock";
in
{
  inherit flags adminSocket connections;
  file = pkgs.writeText "nixmesh-envoy.json" (builtins.toJSON bootstrap);
}
