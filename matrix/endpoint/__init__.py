"""Endpoints: model servers that speak the OpenAI protocol, asked over HTTP.

Knows requests, answers, retries and rates, and nothing of simulations; what is recorded is the runtime's.
"""
