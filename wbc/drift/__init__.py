"""`python -m wbc drift`: is a folder of pictures like what the model was made from?"""
