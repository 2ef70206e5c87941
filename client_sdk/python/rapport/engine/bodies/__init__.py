"""What sealed bodies say: types of content, and the pure rules that go with them."""
