// Classifies the first picture, analyzes all as a stream, and reads an error: client HOST:PORT PICTURE…
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	vision "trunkline.example/client/trunkline/api/vision/v1"
)

const many = 12

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: client HOST:PORT PICTURE…")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(target string, paths []string) error {
	pictures, err := read(paths)
	if err != nil {
		return err
	}
	connection, err := connect(target)
	if err != nil {
		return err
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	client := vision.NewVisionServiceClient(connection)
	image := &vision.Image{Data: pictures[0].Data}
	if err := classify(ctx, client, image); err != nil {
		return err
	}
	if err := analyze(ctx, client, pictures); err != nil {
		return err
	}
	if err := fail(ctx, client, image); err != nil {
		return err
	}
	return beManyAtOnce(ctx, client, image)
}

func read(paths []string) ([]Picture, error) {
	var pictures []Picture
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		pictures = append(pictures, Picture{filepath.Base(path), data})
	}
	return append(pictures, Picture{"broken", []byte("this is no picture")}), nil
}

func classify(ctx context.Context, client vision.VisionServiceClient, image *vision.Image) error {
	answer, err := client.Classify(ctx, &vision.ClassifyRequest{Image: image, Head: "imagenet", TopK: proto.Int32(3)})
	if err != nil {
		return err
	}
	for _, each := range answer.Outcome.GetClassification().GetLabels() {
		fmt.Printf("classify %s %.3f\n", each.Label, each.Score)
	}
	return nil
}

func analyze(ctx context.Context, client vision.VisionServiceClient, pictures []Picture) error {
	var heads []*vision.HeadRequest
	for _, ask := range []struct {
		head string
		topK int
	}{{"imagenet", 2}, {"flowers102", 1}} {
		params, err := structpb.NewStruct(map[string]interface{}{"top_k": ask.topK})
		if err != nil {
			return err
		}
		heads = append(heads, &vision.HeadRequest{Head: ask.head, Params: params})
	}
	return analyzeStream(ctx, client, pictures, heads, show)
}

func show(picture Picture, part *vision.AnalyzeStreamResponse) {
	switch event := part.Event.(type) {
	case *vision.AnalyzeStreamResponse_Outcome:
		outcome := event.Outcome
		if failed := outcome.GetError(); failed != nil {
			fmt.Printf("stream %s %s failed: %s\n", picture.Name, outcome.Head, failed.Reason)
			return
		}
		fmt.Printf("stream %s %s: %s\n", picture.Name, outcome.Head, labels(outcome.GetClassification()))
	case *vision.AnalyzeStreamResponse_Done:
		fmt.Printf("stream %s done: passes %d\n", picture.Name, event.Done.BackbonePasses)
	case *vision.AnalyzeStreamResponse_Error:
		fmt.Printf("stream %s refused: %s %s\n", picture.Name, codeName(event.Error.Code), event.Error.Reason)
	}
}

func labels(classification *vision.Classification) string {
	var names []string
	for _, each := range classification.GetLabels() {
		names = append(names, each.Label)
	}
	return strings.Join(names, ", ")
}

func fail(ctx context.Context, client vision.VisionServiceClient, image *vision.Image) error {
	_, err := client.Classify(ctx, &vision.ClassifyRequest{Image: image, Head: "flowers102/999"})
	info := errorDetails(err).Info
	if info == nil {
		return errors.New("the call did not fail as it should")
	}
	metadata, err2 := json.Marshal(info.Metadata)
	fmt.Printf("error %s %s %s %s\n", status.Code(err), info.Reason, info.Domain, metadata)
	return err2
}

func beManyAtOnce(ctx context.Context, client vision.VisionServiceClient, image *vision.Image) error {
	type end struct {
		tries int
		err   error
	}
	ends := make(chan end)
	for i := 0; i < many; i++ {
		go func() {
			_, tries, err := classifyPatiently(ctx, client, &vision.ClassifyRequest{Image: image, Head: "imagenet"})
			ends <- end{tries, err}
		}()
	}
	again := 0
	for i := 0; i < many; i++ {
		each := <-ends
		if each.err != nil {
			return each.err
		}
		again += each.tries - 1
	}
	fmt.Printf("many answered: %d, asked again: %d\n", many, again)
	return nil
}
