"""The gateway: the public way in. It opens no model file and knows no runtime."""
