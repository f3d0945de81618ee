// The services of `proto/` for Connect, from the descriptors that `judge.py` has protoc make and JUDGE_DESCRIPTORS names.
import { readFileSync } from 'node:fs';
import { createFileRegistry, fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';

const descriptors = fromBinary(FileDescriptorSetSchema, readFileSync(process.env.JUDGE_DESCRIPTORS));
const registry = createFileRegistry(descriptors);

export const TestService = registry.getService('grpc.testing.TestService');
export const Witness = registry.getService('judge.Witness');
