"""What readers of log formats share: decoders, joining, values of chats, tensors and times, faults."""
