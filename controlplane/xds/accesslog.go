package xds

import (
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	celv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/filters/cel/v3"
	streamv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"
	"google.golang.org/protobuf/types/known/structpb"
)

// Sides of a call that an entry of the access log can be of.
const (
	logInbound  = "in"
	logOutbound = "out"
	logGateway  = "gateway"
)

// Who the other side is, as TLS proved it.
const (
	logCaller = "%DOWNSTREAM_PEER_URI_SAN%"
	logCallee = "%UPSTREAM_PEER_URI_SAN%"
)

// logTrace is the trace of a request as its caller named it: VERSION-TRACE, how
// traceparent of W3C's Trace Context begins. Envoy's own word for it knows only the
// traces that Envoy makes, and functions on strings came with 1.40.
const logTrace = "%REQ(TRACEPARENT):35%"

// logged is what one listener's entries say of all its calls.
type logged struct {
	Side           string
	Caller, Callee string // SPIFFE names, or one of the above; "" is left out
	Edge           string // that the caller used
	HTTP           bool
}

// accessLog writes calls to the journal, one line of JSON each, all or those that
// went wrong, as the configuration says.
func (b *builder) accessLog(l logged) []*accesslogv3.AccessLog {
	var filter *accesslogv3.AccessLogFilter
	switch b.in.Config.Telemetry.AccessLog {
	case "all":
	case "errors":
		filter = wentWrong()
	default:
		return nil
	}
	return []*accesslogv3.AccessLog{l.toJournal(filter)}
}

// unmatchedLog writes the connections that no chain of a listener takes, whatever
// the configuration says: a server name that is not of this host, or no TLS at all.
func (b *builder) unmatchedLog(l logged) []*accesslogv3.AccessLog {
	return []*accesslogv3.AccessLog{l.toJournal(flagged("NR"))}
}

// refusedLog writes those, and the ones whose TLS fails, as a certificate is not
// good or not there.
func refusedLog(l logged) []*accesslogv3.AccessLog {
	return []*accesslogv3.AccessLog{l.toJournal(either(flagged("NR"), &accesslogv3.AccessLogFilter{
		FilterSpecifier: &accesslogv3.AccessLogFilter_ExtensionFilter{ExtensionFilter: &accesslogv3.ExtensionFilter{
			Name: "envoy.access_loggers.extension_filters.cel",
			ConfigType: &accesslogv3.ExtensionFilter_TypedConfig{
				TypedConfig: Any(&celv3.ExpressionFilter{Expression: "has(connection.transport_failure_reason)"}),
			},
		}},
	}))}
}

// fields are an entry's. The query of a path is left out: tokens come in it.
func (l logged) fields() map[string]string {
	fields := map[string]string{
		"time": "%START_TIME%", "side": l.Side, "caller": l.Caller, "callee": l.Callee, "edge": l.Edge,
		"flags": "%RESPONSE_FLAGS%", "details": "%RESPONSE_CODE_DETAILS%", "termination": "%CONNECTION_TERMINATION_DETAILS%",
		"received": "%BYTES_RECEIVED%", "sent": "%BYTES_SENT%", "ms": "%DURATION%",
		"from": "%DOWNSTREAM_REMOTE_ADDRESS%", "to": "%UPSTREAM_HOST%", "cluster": "%UPSTREAM_CLUSTER_RAW%",
		"sni": "%REQUESTED_SERVER_NAME%", "chain": "%FILTER_CHAIN_NAME%",
		"downstream_failure": "%DOWNSTREAM_TRANSPORT_FAILURE_REASON%", "upstream_failure": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
		"attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
	}
	if l.HTTP {
		fields["protocol"], fields["method"], fields["authority"] = "%PROTOCOL%", "%REQ(:METHOD)%", "%REQ(:AUTHORITY)%"
		fields["path"], fields["code"], fields["grpc"] = "%PATH(NQ)%", "%RESPONSE_CODE%", "%GRPC_STATUS(SNAKE_STRING)%"
		fields["route"], fields["request"], fields["trace"] = "%ROUTE_NAME%", "%REQ(X-REQUEST-ID)%", logTrace
	}
	if l.HTTP && l.Side == logInbound {
		fields["rule"] = "%DYNAMIC_METADATA(" + rulesMetadata + ":" + rulesVerdict + ")%"
	}
	for key, value := range fields {
		if value == "" {
			delete(fields, key)
		}
	}
	return fields
}

// toJournal writes to Envoy's standard output, which is the journal. A log to the
// file /dev/stdout fails there, and with it the whole listener.
func (l logged) toJournal(filter *accesslogv3.AccessLogFilter) *accesslogv3.AccessLog {
	line := &structpb.Struct{Fields: map[string]*structpb.Value{}}
	for key, value := range l.fields() {
		line.Fields[key] = structpb.NewStringValue(value)
	}
	format := &corev3.SubstitutionFormatString{
		Format:          &corev3.SubstitutionFormatString_JsonFormat{JsonFormat: line},
		OmitEmptyValues: true,
	}
	config := &streamv3.StdoutAccessLog{AccessLogFormat: &streamv3.StdoutAccessLog_LogFormat{LogFormat: format}}
	return &accesslogv3.AccessLog{
		Name: "envoy.access_loggers.stdout", Filter: filter,
		ConfigType: &accesslogv3.AccessLog_TypedConfig{TypedConfig: Any(config)},
	}
}

// wentWrong takes calls that Envoy itself flagged, answers that blame the server,
// and refusals: of a caller, and of a rate.
func wentWrong() *accesslogv3.AccessLogFilter {
	return either(
		flagged(),
		status(accesslogv3.ComparisonFilter_GE, 500),
		status(accesslogv3.ComparisonFilter_EQ, 403),
		status(accesslogv3.ComparisonFilter_EQ, 429),
	)
}

func either(filters ...*accesslogv3.AccessLogFilter) *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_OrFilter{OrFilter: &accesslogv3.OrFilter{Filters: filters}}}
}

// flagged takes calls with one of the response flags; without any, with whichever.
func flagged(flags ...string) *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_ResponseFlagFilter{
		ResponseFlagFilter: &accesslogv3.ResponseFlagFilter{Flags: flags},
	}}
}

func status(op accesslogv3.ComparisonFilter_Op, code uint32) *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_StatusCodeFilter{
		StatusCodeFilter: &accesslogv3.StatusCodeFilter{Comparison: &accesslogv3.ComparisonFilter{
			Op: op, Value: &corev3.RuntimeUInt32{DefaultValue: code, RuntimeKey: "nixmesh.none"},
		}},
	}}
}
