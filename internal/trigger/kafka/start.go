package kafka

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// places are offsets by topic and partition.
type places = map[string]map[int32]kgo.Offset

// fresh is where a partition begins of which nothing was committed yet: with what came since the trigger was made. The client asks for
// that and for the end at the same time, and takes the end when there is nothing: what comes between the two answers would be left
// out. So settle finds the place before.
func (s *source) fresh() kgo.Offset { return kgo.NewOffset().AfterMilli(s.trigger.Since.UnixMilli()) }

// settle gives partitions that are fresh their place: that of the first message since, or else the end as it was before that was asked.
func (s *source) settle(ctx context.Context, client *kgo.Client, all places) (places, error) {
	fresh := map[string][]int32{}
	for topic, partitions := range all {
		for partition, at := range partitions {
			if at == s.fresh() {
				fresh[topic] = append(fresh[topic], partition)
			}
		}
	}
	if len(fresh) == 0 {
		return all, nil
	}
	const end = -1
	for _, of := range []int64{end, s.trigger.Since.UnixMilli()} {
		err := list(ctx, client, fresh, of, func(topic string, partition int32, offset int64) {
			if offset >= 0 { // -1 for nothing since then
				all[topic][partition] = kgo.NewOffset().At(offset)
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// list asks for the offsets of partitions at a time, in milliseconds.
func list(ctx context.Context, client *kgo.Client, of map[string][]int32, at int64, found func(topic string, partition int32, offset int64)) error {
	ask := kmsg.NewPtrListOffsetsRequest()
	for topic, partitions := range of {
		t := kmsg.NewListOffsetsRequestTopic()
		t.Topic = topic
		for _, partition := range partitions {
			p := kmsg.NewListOffsetsRequestTopicPartition()
			p.Partition, p.Timestamp = partition, at
			t.Partitions = append(t.Partitions, p)
		}
		ask.Topics = append(ask.Topics, t)
	}
	answer, err := ask.RequestWith(ctx, client)
	if err != nil {
		return err
	}
	for _, t := range answer.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return fmt.Errorf("place in topic %s, partition %d: %w", t.Topic, p.Partition, err)
			}
			found(t.Topic, p.Partition, p.Offset)
		}
	}
	return nil
}
