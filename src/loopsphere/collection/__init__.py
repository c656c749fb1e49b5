"""What is known of files that were read: embeddings, copies, labels, explanations, odd moments."""
