package hostfacts

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// The standard gRPC health service, grpc.health.v1.Health/Check:
// https://github.com/grpc/grpc/blob/master/doc/health-checking.md
const healthMethod = "/grpc.health.v1.Health/Check"

// servingStatuses are the names of HealthCheckResponse.ServingStatus.
var servingStatuses = []string{"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"}

// maxHealthAnswer bounds an answer in bytes; a real one has 7.
const maxHealthAnswer = 4096

// probeGRPC passes when the health service says SERVING.
func probeGRPC(ctx context.Context, c Check) (ok bool, answer string) {
	call := "grpc health"
	if c.GRPC != "" {
		call += " of " + c.GRPC
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+c.Address+healthMethod, bytes.NewReader(healthRequest(c.GRPC)))
	if err != nil {
		return false, fmt.Sprintf("%s: %s", call, err)
	}
	request.Header.Set("Content-Type", "application/grpc")
	request.Header.Set("Te", "trailers")
	request.Header.Set("User-Agent", userAgent)
	transport := newTransport(true)
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(request)
	if err != nil {
		return false, fmt.Sprintf("%s: %s", call, reason(ctx, c, err))
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return false, fmt.Sprintf("%s: HTTP status %d, so no gRPC server", call, response.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxHealthAnswer))
	if err != nil {
		return false, fmt.Sprintf("%s: %s", call, reason(ctx, c, err))
	}
	if code, message := grpcStatus(response); code != "0" {
		return false, fmt.Sprintf("%s: gRPC status %s %s", call, code, snippet([]byte(message)))
	}
	status, err := healthStatus(body)
	if err != nil {
		return false, fmt.Sprintf("%s: %s", call, err)
	}
	return status == "SERVING", call + ": " + status
}

// grpcStatus is the call's end: in the trailers, or in the headers where the
// server had nothing else to say.
func grpcStatus(response *http.Response) (code, message string) {
	for _, h := range []http.Header{response.Trailer, response.Header} {
		if code := h.Get("Grpc-Status"); code != "" {
			return code, h.Get("Grpc-Message")
		}
	}
	return "missing", ""
}

// healthRequest is HealthCheckRequest{service: name} in a gRPC frame.
func healthRequest(service string) []byte {
	var message []byte
	if service != "" {
		message = append(message, 1<<3|2) // field 1, length-delimited
		message = binary.AppendUvarint(message, uint64(len(service)))
		message = append(message, service...)
	}
	frame := []byte{0} // not compressed
	frame = binary.BigEndian.AppendUint32(frame, uint32(len(message)))
	return append(frame, message...)
}

var errHealthAnswer = errors.New("the answer is no HealthCheckResponse")

// healthStatus reads HealthCheckResponse{status} from a gRPC frame; fields
// other than the first are passed over.
func healthStatus(frame []byte) (string, error) {
	if len(frame) < 5 || frame[0] != 0 || int(binary.BigEndian.Uint32(frame[1:5])) != len(frame)-5 {
		return "", errHealthAnswer
	}
	status := uint64(0) // a field that is left out has its zero value
	for message := frame[5:]; len(message) > 0; {
		key, n := binary.Uvarint(message)
		if n <= 0 {
			return "", errHealthAnswer
		}
		message = message[n:]
		value, n := binary.Uvarint(message)
		if n <= 0 {
			return "", errHealthAnswer
		}
		message = message[n:]
		switch key & 7 {
		case 0: // varint
			if key>>3 == 1 {
				status = value
			}
		case 2: // length-delimited
			if value > uint64(len(message)) {
				return "", errHealthAnswer
			}
			message = message[value:]
		default:
			return "", errHealthAnswer
		}
	}
	if status >= uint64(len(servingStatuses)) {
		return fmt.Sprintf("status %d", status), nil
	}
	return servingStatuses[status], nil
}
